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

from features.captions import Captions, in_parts
from features.columns import Floats, Texts
from features.lexicon import Lexicon

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

TOPICS = 48
"""Topics at most; where posts are few, the later ones are empty."""

POSTS_PER_TOPIC = 200
"""Known captions that a topic rests on, so that a small set does not learn its posts by heart."""

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
        uses = _common_words(captions)
        known = sum(caption is not None for caption in captions)
        topics = min(TOPICS, known // POSTS_PER_TOPIC)
        if topics < 1 or min(len(uses), known) <= topics:
            return cls.empty()
        rarity = np.log((1 + known) / (1 + np.array(list(uses.values())))) + 1
        words = Lexicon(tuple(uses), np.zeros((TOPICS, len(uses))))
        positions = list(chain.from_iterable(words.positions(part.words) for part in in_parts(captions)))
        places = np.zeros((TOPICS, len(uses)))
        places[:topics] = rarity * _leading_directions(_weighted(positions, rarity), topics, seed)
        return cls(Lexicon(tuple(uses), np.round(places, 8) + 0.0))  # and no -0.0

    @classmethod
    def empty(cls) -> WordTopics:
        """Return the topics of no words: every known caption is at the origin."""
        return cls(Lexicon((), np.zeros((TOPICS, 0))))

    def transform(self, captions: Captions) -> Floats:
        """Return each caption's place in the topic space, shape (topics, posts); unknown captions are nan.

        A caption's words count once each and its vector is scaled by their number, so that long captions do not
        stand out by length alone.
        """
        positions = self.vocabulary.positions(captions.words)
        scale = [max(len(each), 1) ** -0.5 for each in positions]
        return captions.where_known(self.vocabulary.sums(positions) * scale)

    def to_dict(self) -> dict[str, Any]:
        """Return what `from_dict` reads: plain JSON."""
        return {"vocabulary": list(self.vocabulary.words), "loadings": self.vocabulary.vectors.tolist()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> WordTopics:
        """Read what `to_dict` wrote."""
        return cls(Lexicon(tuple(data["vocabulary"]), np.array(data["loadings"]).reshape(TOPICS, -1)))


def _common_words(captions: Texts) -> dict[str, int]:
    """Return the words that are learned, the commonest first, and how many captions hold each."""
    uses: Counter[str] = Counter()
    for part in in_parts(captions):
        uses.update(chain.from_iterable(map(set, part.words)))
    common = sorted((word for word in uses if uses[word] >= MIN_POSTS), key=lambda word: (-uses[word], word))
    return {word: uses[word] for word in common[:MAX_WORDS]}


def _weighted(positions: Sequence[Sequence[int]], rarity: Floats) -> csr_matrix:
    """Return one row per caption: the rarity of its words, scaled by their number."""
    from scipy.sparse import csr_matrix

    sizes = np.array([len(each) for each in positions])
    columns = np.array(list(chain.from_iterable(positions)), dtype=np.int64) - 1
    scale = np.repeat(1 / np.sqrt(np.maximum(sizes, 1)), sizes)
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    return csr_matrix((rarity[columns] * scale, columns, offsets), shape=(len(sizes), len(rarity)))


def _leading_directions(matrix: csr_matrix, size: int, seed: int) -> Floats:
    """Return the leading right singular vectors as rows, each with its largest entry positive.

    A direction along which the captions do not vary is 0 throughout.
    """
    from scipy.sparse.linalg import svds

    start = np.random.default_rng(seed).standard_normal(min(matrix.shape))
    _, strengths, vectors = svds(matrix, k=size, v0=start)
    vectors = vectors[::-1] * (strengths[::-1, None] > 1e-8 * strengths.max())
    signs = np.sign(vectors[np.arange(size), np.abs(vectors).argmax(axis=1)])
    return np.asarray(vectors * signs[:, None])
