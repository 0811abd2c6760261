"""Words that have a vector each, and the sums of those of many captions at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from features.columns import Floats
from features.lazy import Lazy


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
        starts: list[int] = []
        columns: list[int] = []
        for each in positions:
            starts.append(len(columns))
            columns += (0, *each)
        return np.add.reduceat(self._zero_and_vectors.take(columns, axis=1), starts, axis=1)

    @Lazy
    def _positions(self) -> dict[str, int]:
        return {word: position for position, word in enumerate(self.words, start=1)}

    @Lazy
    def _zero_and_vectors(self) -> Floats:
        return np.append(np.zeros((len(self.vectors), 1)), self.vectors, axis=1)
