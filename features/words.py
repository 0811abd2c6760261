"""Topics of the caption's words: a latent semantic analysis fitted in training that travels with the model.

Source of the method: Deerwester et al. (1990), Indexing by latent semantic analysis.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from features.captions import Captions
from features.columns import Floats, Texts
from features.lexicon import Lexicon

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

TOPICS = 16

MIN_POSTS = 5
"""Posts that a word must occur in to be learned."""

MAX_WORDS = 8_000
"""The commonest words that are learned at most."""


@dataclass(frozen=True)
class WordTopics:
    """The vocabulary, each word with its place in the topic space times its inverse document frequency."""

    vocabulary: Lexicon

    @classmethod
    def fit(cls, captions: Texts, *, seed: int) -> WordTopics:
        """Learn topics from the known captions of the training rows; none when they share too few words."""
        documents = [words for words in Captions(captions).words if words]
        counts = Counter(chain.from_iterable(map(set, documents)))
        common = sorted((word for word in counts if counts[word] >= MIN_POSTS), key=lambda w: (-counts[w], w))
        words = tuple(common[:MAX_WORDS])
        if min(len(words), len(documents)) <= TOPICS:
            return cls.empty()
        rarity = np.log((1 + len(documents)) / (1 + np.array([counts[word] for word in words]))) + 1
        positions = Lexicon(words, np.zeros((0, len(words)))).positions(documents)
        places = rarity * _leading_directions(_weighted(positions, rarity), seed)
        return cls(Lexicon(words, np.round(places, 8)))

    @classmethod
    def empty(cls) -> WordTopics:
        """Return the topics of no words: every known caption is at the origin."""
        return cls(Lexicon((), np.zeros((TOPICS, 0))))

    def transform(self, captions: Captions) -> Floats:
        """Return each caption's place in the topic space, shape (topics, posts); unknown captions are nan.

        A caption's words count once each and its vector is scaled by their number, so that long captions do not
        stand out by length alone.
        """
        sums, sizes = self.vocabulary.sums(self.vocabulary.positions(captions.words))
        return np.where(captions.unknown, np.nan, sums / np.sqrt(np.maximum(sizes, 1)))

    def to_dict(self) -> dict[str, Any]:
        """Return what `from_dict` reads: plain JSON."""
        return {"vocabulary": list(self.vocabulary.words), "loadings": self.vocabulary.vectors.tolist()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> WordTopics:
        """Read what `to_dict` wrote."""
        return cls(Lexicon(tuple(data["vocabulary"]), np.array(data["loadings"]).reshape(TOPICS, -1)))


def _weighted(positions: Sequence[Sequence[int]], rarity: Floats) -> csr_matrix:
    """Return one row per caption: the rarity of its words, scaled by their number."""
    from scipy.sparse import csr_matrix

    sizes = np.array([len(each) for each in positions])
    columns = np.array(list(chain.from_iterable(positions)), dtype=np.int64)
    scale = np.repeat(1 / np.sqrt(np.maximum(sizes, 1)), sizes)
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    return csr_matrix((rarity[columns] * scale, columns, offsets), shape=(len(sizes), len(rarity)))


def _leading_directions(matrix: csr_matrix, seed: int) -> Floats:
    """Return the leading right singular vectors as rows, each with its largest entry positive.

    A direction along which the captions do not vary is 0 throughout.
    """
    from scipy.sparse.linalg import svds

    start = np.random.default_rng(seed).standard_normal(min(matrix.shape))
    _, strengths, vectors = svds(matrix, k=TOPICS, v0=start)
    vectors = vectors[::-1] * (strengths[::-1, None] > 1e-8 * strengths.max())
    signs = np.sign(vectors[np.arange(TOPICS), np.abs(vectors).argmax(axis=1)])
    return np.asarray(vectors * signs[:, None])
