"""Words that have a vector each, and the sums of those of many captions at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

import numpy as np

from features.columns import Floats, Ints


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

    @cached_property
    def _position(self) -> dict[str, int]:
        return {word: position for position, word in enumerate(self.words)}

    def positions(self, documents: Sequence[Sequence[str]]) -> list[list[int]]:
        """Return the positions of the distinct words of each document that the lexicon holds, in ascending order."""
        known = self._position
        return [sorted({known[word] for word in document if word in known}) for document in documents]

    def sums(self, positions: Sequence[Sequence[int]]) -> tuple[Floats, Ints]:
        """Return the sum of the vectors at each document's positions, shape (dimensions, documents), and their number.

        Each sum is made on its own and in the order of the positions, so that it does not depend on the other
        documents.
        """
        sizes = np.array([len(each) for each in positions], dtype=np.int64)
        sums = np.zeros((len(self.vectors), len(sizes)))
        filled = sizes > 0
        if filled.any():
            vectors = self.vectors.take(list(chain.from_iterable(positions)), axis=1)
            starts = (sizes.cumsum() - sizes)[filled]
            sums[:, filled] = np.add.reduceat(vectors, starts, axis=1)
        return sums, sizes
