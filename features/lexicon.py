"""Words that have a vector each, and the sums of those of many captions at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, chain

import numpy as np

from features.columns import Floats
from features.lazy import Lazy

_BLOCK = 128  # documents whose vectors lie in a processor's cache together


@dataclass(frozen=True)
class Lexicon:
    """Words and their vectors.

    Attributes
    ----------
    vectors
        Array of shape (dimensions, words).
    """

    words: tuple[str, ...]
    vectors: Floats

    def positions(self, documents: Sequence[Sequence[str]]) -> list[list[int]]:
        """Return the positions, from 1 on, of the distinct words of each document that the lexicon holds."""
        position = self._positions.get
        return [[*dict.fromkeys(filter(None, map(position, words)))] for words in documents]

    def sums(self, positions: Sequence[Sequence[int]]) -> Floats:
        """Return the sum of the vectors at each document's positions, shape (dimensions, documents).

        Each sum starts from 0 and is made in the order of the positions, whatever the other documents.
        """
        sums = np.empty((len(positions), len(self.vectors)))
        for start in range(0, len(positions), _BLOCK):
            block = [(0, *each) for each in positions[start : start + _BLOCK]]
            vectors = self._zero_and_vectors.take(list(chain.from_iterable(block)), axis=0)
            firsts = [0, *accumulate(map(len, block[:-1]))]
            np.add.reduceat(vectors, firsts, axis=0, out=sums[start : start + _BLOCK])
        return sums.T

    @Lazy
    def _positions(self) -> dict[str, int]:
        return {word: position for position, word in enumerate(self.words, start=1)}

    @Lazy
    def _zero_and_vectors(self) -> Floats:
        """0, and the vector of each word in one piece, as rows."""
        return np.ascontiguousarray(np.append(np.zeros((len(self.vectors), 1)), self.vectors, axis=1).T)
