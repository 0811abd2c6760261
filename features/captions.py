"""Captions taken apart, many at once: how often each kind of character occurs, the words, the hashtags.

All captions are laid out as one array of code points, which tables map to kinds of characters and to lower case.
"""

from __future__ import annotations

import re
import unicodedata
from codecs import utf_32_le_decode, utf_32_le_encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, chain
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from features.columns import Floats, Texts
from features.lazy import Lazy

READ_CHARACTERS = 10_000
"""Characters of a caption that are read, more than any platform allows; what follows counts for its length alone."""

MAX_HASHTAGS = 30
"""Platforms allow up to 30 hashtags; more are not read."""

PART = 20_000
"""Captions that are taken apart at once."""

_HASHTAG = re.compile("#([^ #']+)")
_LOOSE_APOSTROPHE = re.compile("'(?:(?<![^ #']')|(?![^ #']))")  # one not inside a word
_EMOJI = ((0x1F1E6, 0x1F1FF), (0x1F300, 0x1FAFF), (0x2600, 0x27BF))
_STYLED = range(0x1D400, 0x1D800)  # mathematical letters, which captions use as bold and italic ones
_MARKS = range(0x300, 0x20000)
_SIGNS_APART = range(0xFE00, 0xFE10)  # variation selectors are marks, but belong to emoji
_SPACE, _APOSTROPHE = ord(" "), ord("'")
_UNKNOWN = float("nan")

Points: TypeAlias = NDArray[np.uint32]


class Kind:
    """What a character is: plain numbers, since looking up a member of an enumeration costs more than a sum."""

    OTHER, LINE_BREAK, DIGIT, HASH, AT, QUESTION, EXCLAMATION, EMOJI, CAPITAL, LETTER = range(10)


_KINDS = Kind.LETTER + 1

_SIGNS = {
    Kind.LINE_BREAK: "\n",
    Kind.HASH: "#",
    Kind.AT: "@",
    Kind.QUESTION: "?\uff1f\u061f",
    Kind.EXCLAMATION: "!\uff01",
}


@dataclass(frozen=True)
class Captions:
    """The captions of some posts, None where unknown.

    >>> captions = Captions(["It's on! #Dance #FYP #dance", None])
    >>> captions.words, captions.hashtags
    ([["it's", 'on', 'dance', 'fyp', 'dance'], []], [['dance', 'fyp'], []])
    """

    texts: Texts

    def measure(self, measure: Callable[[str, list[str]], float]) -> list[float]:
        """Measure each caption by what it is folded to and its words; nan where it is unknown."""
        captions = zip(self.texts, self.folded, self.words, strict=True)
        return [_UNKNOWN if text is None else measure(folded, words) for text, folded, words in captions]

    def where_known(self, values: Floats) -> Floats:
        """Return values of captions, the last axis, with nan where the caption is unknown."""
        if None not in self.texts:
            return values
        return np.where([text is None for text in self.texts], np.nan, values)

    @Lazy
    def counts(self) -> Floats:
        """How often each `Kind` of character occurs, shape (kinds, posts); nan where the caption is unknown."""
        size, kinds = len(self.texts) * _KINDS, _kinds().take(self._points)
        if size > _KINDS:
            kinds = kinds + np.arange(0, size, _KINDS).repeat([len(text) for text in self._read])
        counts = np.bincount(kinds, minlength=size).reshape(-1, _KINDS)
        return self.where_known(counts.T.astype(np.float64))

    @Lazy
    def folded(self) -> list[str]:
        """Each caption in lower case, all but words, the apostrophes inside them and hash signs made spaces."""
        text, _ = utf_32_le_decode(_folded().take(self._points).tobytes())
        text = _LOOSE_APOSTROPHE.sub(" ", text)
        if len(self.texts) == 1:
            return [text]
        ends = list(accumulate(len(text) for text in self._read))
        return [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]

    @Lazy
    def words(self) -> list[list[str]]:
        """The words and hashtags of each caption in lower case; none where it is unknown."""
        return [text.replace("#", " ").split() for text in self.folded]

    @Lazy
    def hashtags(self) -> list[list[str]]:
        """The distinct hashtags of each caption in lower case, in their order; none where it is unknown."""
        return [[*dict.fromkeys(_HASHTAG.findall(text))][:MAX_HASHTAGS] if "#" in text else [] for text in self.folded]

    @Lazy
    def _read(self) -> list[str]:
        """What is read of each caption, with a space behind, so that none runs on into the next."""
        return [(text or "")[:READ_CHARACTERS] + " " for text in self.texts]

    @Lazy
    def _points(self) -> Points:
        # A lone surrogate, which JSON can hold, is passed on and counts as no kind of word.
        encoded, _ = utf_32_le_encode("".join(self._read), "surrogatepass")
        return np.frombuffer(encoded, dtype=np.uint32)


def in_parts(texts: Texts) -> Iterator[Captions]:
    """Take captions apart part by part, which bounds memory."""
    return (Captions(texts[start : start + PART]) for start in range(0, len(texts), PART))


def hashtags_of(texts: Texts) -> list[str | None]:
    """Return the distinct hashtags of each of however many captions, separated by spaces; None without one."""
    signed = [text for text in texts if text and "#" in text]
    found = chain.from_iterable(captions.hashtags for captions in in_parts(signed))
    return [" ".join(next(found)) or None if text and "#" in text else None for text in texts]


@cache
def _kinds() -> NDArray[np.integer]:
    """Return the kind of every code point."""
    characters = _characters()
    kinds = np.zeros(len(characters), dtype=np.uint8)
    letters = np.strings.isalpha(characters)
    kinds[np.strings.isdecimal(characters)] = Kind.DIGIT
    for first, last in _EMOJI:
        kinds[first : last + 1] = Kind.EMOJI
    kinds[letters] = Kind.LETTER
    kinds[letters & np.strings.isupper(characters)] = Kind.CAPITAL
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
