"""Captions taken apart, many at once: how often each kind of character occurs, the words, the hashtags.

All captions of a batch are laid out as one array of code points, which tables map to kinds and to lower case; a caption
of its own takes the same path.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from enum import IntEnum
from functools import cache, cached_property
from itertools import accumulate
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from features.columns import Bools, Floats, Texts

READ_CHARACTERS = 10_000
"""Characters of a caption that are read, more than any platform allows; only its length is taken of what follows."""

MAX_HASHTAGS = 30
"""Platforms allow up to 30 hashtags; more are not read."""

_HASHTAG = re.compile("#([^ #']+)")
_EMOJI = ((0x1F1E6, 0x1F1FF), (0x1F300, 0x1FAFF), (0x2600, 0x27BF))
_STYLED = range(0x1D400, 0x1D800)  # mathematical letters, which captions use as bold and italic ones
_MARKS = range(0x300, 0x20000)
_SIGNS_APART = range(0xFE00, 0xFE10)  # variation selectors are marks, but belong to emoji
_SPACE, _APOSTROPHE = ord(" "), ord("'")
_CODE_POINTS = "utf-32-le"

Points: TypeAlias = NDArray[np.uint32]


class Kind(IntEnum):
    """What a character is; letters come last, those of one script together."""

    OTHER = 0
    LINE_BREAK = 1
    DIGIT = 2
    HASH = 3
    AT = 4
    QUESTION = 5
    EXCLAMATION = 6
    EMOJI = 7
    LETTER = 8
    CAPITAL = 9
    KANA = 10
    HANGUL = 11
    HAN = 12
    ARABIC = 13
    DEVANAGARI = 14
    THAI = 15
    CYRILLIC = 16
    CYRILLIC_CAPITAL = 17


_SIGNS = {
    Kind.LINE_BREAK: "\n",
    Kind.HASH: "#",
    Kind.AT: "@",
    Kind.QUESTION: "?？؟",
    Kind.EXCLAMATION: "!",
}
_SCRIPTS = {
    Kind.KANA: (0x3040, 0x30FF),
    Kind.HANGUL: (0xAC00, 0xD7AF),
    Kind.HAN: (0x4E00, 0x9FFF),
    Kind.ARABIC: (0x0600, 0x06FF),
    Kind.DEVANAGARI: (0x0900, 0x097F),
    Kind.THAI: (0x0E00, 0x0E7F),
    Kind.CYRILLIC: (0x0400, 0x04FF),
}


@dataclass(frozen=True)
class Captions:
    """The captions of some posts, None where unknown.

    >>> captions = Captions(["It's on! #Dance #FYP #dance", None])
    >>> captions.words, captions.hashtags
    ([["it's", 'on', 'dance', 'fyp', 'dance'], []], [['dance', 'fyp'], []])
    """

    texts: Texts

    @cached_property
    def unknown(self) -> Bools:
        """Whether each caption is unknown."""
        return np.array([text is None for text in self.texts], dtype=np.bool_)

    @cached_property
    def lengths(self) -> Floats:
        """Characters in each caption, nan where it is unknown."""
        return np.array([np.nan if text is None else len(text) for text in self.texts], dtype=np.float64)

    @cached_property
    def counts(self) -> Floats:
        """How often each `Kind` of character occurs, shape (kinds, posts); nan where the caption is unknown."""
        posts = np.arange(len(self.texts)).repeat([len(text) for text in self._read])
        kinds = posts * len(Kind) + _kinds().take(self._points)
        counts = np.bincount(kinds, minlength=len(self.texts) * len(Kind)).reshape(-1, len(Kind))
        return np.where(self.unknown, np.nan, counts.T)

    @cached_property
    def letters(self) -> Floats:
        """How many letters there are in each caption, nan where it is unknown."""
        letters: Floats = self.counts[Kind.LETTER :].sum(axis=0)
        return letters

    @cached_property
    def folded(self) -> list[str]:
        """Each caption in lower case, all but words, the apostrophes inside them and hash signs made spaces."""
        folded = _folded().take(self._points)
        quotes = (folded == _APOSTROPHE).nonzero()[0]
        if len(quotes):
            inside = (folded[quotes - 1] > _APOSTROPHE) & (folded[quotes + 1] > _APOSTROPHE)
            folded[quotes[~inside]] = _SPACE
        text = folded.tobytes().decode(_CODE_POINTS)
        ends = list(accumulate(len(text) for text in self._read))
        return [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]

    @cached_property
    def words(self) -> list[list[str]]:
        """The words and hashtags of each caption in lower case; none where it is unknown."""
        return [text.replace("#", " ").split() for text in self.folded]

    @cached_property
    def hashtags(self) -> list[list[str]]:
        """The distinct hashtags of each caption in lower case, in their order; none where it is unknown."""
        found = (_HASHTAG.findall(text) if "#" in text else [] for text in self.folded)
        return [list(dict.fromkeys(tags))[:MAX_HASHTAGS] for tags in found]

    @cached_property
    def _read(self) -> list[str]:
        """What is read of each caption, with a space behind, so that none runs on into the next."""
        return [(text or "")[:READ_CHARACTERS] + " " for text in self.texts]

    @cached_property
    def _points(self) -> Points:
        # A lone surrogate, which JSON can hold, is passed on and counts as no kind of word.
        return np.frombuffer("".join(self._read).encode(_CODE_POINTS, "surrogatepass"), dtype=np.uint32)


@cache
def _kinds() -> NDArray[np.uint8]:
    """Return the kind of every code point."""
    characters = _characters()
    kinds = np.zeros(len(characters), dtype=np.uint8)
    letters, capitals = np.strings.isalpha(characters), np.strings.isupper(characters)
    kinds[np.strings.isdecimal(characters)] = Kind.DIGIT
    for first, last in _EMOJI:
        kinds[first : last + 1] = Kind.EMOJI
    kinds[letters] = Kind.LETTER
    kinds[letters & capitals] = Kind.CAPITAL
    for script, (first, last) in _SCRIPTS.items():
        kinds[first : last + 1][letters[first : last + 1]] = script
    kinds[(kinds == Kind.CYRILLIC) & capitals] = Kind.CYRILLIC_CAPITAL
    for sign, variants in _SIGNS.items():
        kinds[[ord(variant) for variant in variants]] = sign
    return kinds


@cache
def _folded() -> Points:
    """Return the lower case of every code point of a word, and of signs the one that stands for them."""
    characters = _characters()
    within_words = np.strings.isalnum(characters)
    marks = [point for point in _MARKS if unicodedata.category(chr(point)) in ("Mn", "Mc")]
    within_words[marks] = True
    within_words[_SIGNS_APART] = False
    within_words[ord("_")] = True
    folded = np.where(within_words, np.arange(len(characters), dtype=np.uint32), np.uint32(_SPACE))
    for point in (*np.flatnonzero(np.strings.isupper(characters) & within_words).tolist(), *_STYLED):
        folded[point] = ord(unicodedata.normalize("NFKC", chr(point)).lower()[0])
    folded[ord("#")] = ord("#")
    folded[[_APOSTROPHE, ord("’")]] = _APOSTROPHE
    return folded


def _characters() -> NDArray[np.str_]:
    return np.arange(0x110000, dtype=np.uint32).view("U1")
