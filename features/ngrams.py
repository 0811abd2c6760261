"""Runs of characters in captions, hashed into buckets: what a caption says and how, in any language.

Sources of the methods: Cavnar & Trenkle (1994), N-gram-based text categorization; Weinberger et al. (2009), Feature
hashing for large scale multitask learning.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from features.columns import Floats, Texts

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

SIZES = (1, 2, 3)
"""Characters in a run."""

BITS = 15
BUCKETS = 2**BITS
"""Runs that share a bucket count as the same; with so many buckets the common ones seldom do."""

READ_CHARACTERS = 500
"""Characters of a caption that are read."""

RUNS = f"{min(SIZES)}-{max(SIZES)} of {READ_CHARACTERS} characters, casefolded, {BITS} bits"
"""What a bucket means, which weights of buckets are kept with."""

_PRIME, _GOLDEN = np.uint64(0x100000001B3), np.uint64(0x9E3779B97F4A7C15)


Places: TypeAlias = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Ngrams:
    """The runs in some captions, an entry for each occurrence.

    Attributes
    ----------
    posts
        How many captions there are.
    caption, bucket
        In which caption each run occurs, and its bucket. An unknown caption has none.
    """

    posts: int
    caption: Places
    bucket: Places

    @classmethod
    def of(cls, captions: Texts) -> Ngrams:
        """Take captions apart, capitals as small letters and any white space as one space."""
        texts = [_read(caption) for caption in captions]
        sizes = [len(text) for text in texts]
        points = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)
        caption = np.repeat(np.arange(len(texts), dtype=np.int32), sizes)
        parts = [_runs(points, caption, size) for size in SIZES if size <= len(points)]
        if not parts:
            return cls(len(texts), np.empty(0, np.int32), np.empty(0, np.int32))
        return cls(len(texts), *(np.concatenate(each) for each in zip(*parts, strict=True)))

    def sums(self, weights: Floats) -> Floats:
        """Return for each caption the sum of its runs' weights, shape (buckets,), over the root of their number.

        So neither do long captions stand out by length alone, nor does one run in a short caption say all.
        """
        return np.asarray(self._scale * np.bincount(self.caption, weights[self.bucket], self.posts))

    def matrix(self) -> csr_matrix:
        """Return the matrix, shape (captions, buckets), whose product with weights `sums` is."""
        from scipy.sparse import csr_matrix

        entries = self._scale[self.caption]
        return csr_matrix((entries, (self.caption, self.bucket)), shape=(self.posts, BUCKETS))

    @property
    def _scale(self) -> Floats:
        return np.asarray(1 / np.sqrt(np.maximum(np.bincount(self.caption, minlength=self.posts), 1)))


def _read(caption: str | None) -> str:
    """Return what is read of a caption, with a space at either end; nothing where it is unknown or blank."""
    words = " ".join((caption or "")[:READ_CHARACTERS].casefold().split())
    return f" {words} " if words else ""


def _runs(points: np.ndarray[tuple[int], np.dtype[np.uint64]], caption: Places, size: int) -> tuple[Places, Places]:
    """Return the caption and the bucket of each run of so many characters that ends in the caption it began in."""
    last = len(points) - size + 1
    mixed = np.full(last, size, np.uint64)
    for each in range(size):
        mixed = (mixed * _PRIME) ^ points[each : last + each]
    within = caption[:last] == caption[size - 1 :]
    bucket = (mixed[within] * _GOLDEN) >> np.uint64(64 - BITS)
    return caption[:last][within], bucket.astype(np.int32)
