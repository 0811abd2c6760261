"""A guess at the language of a caption: its script, else its commonest words.

Captions are short and mixed, so this is a hint for a model, not an identification; no model file is needed and one
caption takes microseconds.
"""

from __future__ import annotations

import re
from functools import cache
from itertools import repeat
from struct import Struct

from features.captions import Captions
from features.columns import Texts

_SCRIPTS = {
    "ja": "[\u3040-\u30ff]",
    "ko": "[\uac00-\ud7af]",
    "zh": "[\u4e00-\u9fff]",
    "ar": "[\u0600-\u06ff]",
    "hi": "[\u0900-\u097f]",
    "th": "[\u0e00-\u0e7f]",
    "ru": "[\u0400-\u04ff]",
}
"""The language that a script most often stands for; of several the first holds, since Japanese is written in Han
signs too."""

_ANY_SCRIPT = re.compile("".join(_SCRIPTS.values()).replace("][", ""))

SCRIPT_SHARE = 0.2
"""The share of the characters of words from which on a script tells the language: a shrug of one kana does not."""

_COMMON_WORDS = {
    "en": "the and you for with this that are have was my your what how not from when all just it's i to of is",
    "es": "el los las una por para con que del cómo está más pero esta este muy mi tu qué y la de en",
    "pt": "o os uma por para com que não do da você mais mas isso esse muito meu é em e um no na",
    "fr": "le les une des pour avec que est pas dans vous je c'est sur mon et la de du un en qui",
    "de": "der die das und ich nicht ist mit ein eine auf für wir du es von zu den mein wie im",
    "it": "il gli una per con che non sono di è della mi ti questo come più ma e la un nel",
    "da": "og jeg det er ikke en at til på med som for af den vi har du i de kan",
    "id": "yang dan di ini itu aku kamu dengan untuk tidak dari ada ke juga bisa sudah saya buat",
    "tr": "ve bir bu için çok da de ne ben sen gibi daha var mı ile ama en",
    "vi": "và của là có không cho với một này được người khi đã thì mình ở",
    "tl": "ang ng mga sa na ko mo at si lang hindi ako ka po yung din",
    "nl": "de het een en van ik niet dat is op met voor je zijn maar ook",
    "pl": "i w nie na to się jest z że do jak co po dla ale",
}

LANGUAGES: tuple[str, ...] = (*_COMMON_WORDS, *_SCRIPTS)
"""Every language that can be told, in a fixed order: the position is the code."""

_CODES = {language: code for code, language in enumerate(LANGUAGES)}
_UNKNOWN = float("nan")
_VOTES = 60  # of each common word, which as many as six languages can share evenly
_COUNT = Struct(f"<{len(_COMMON_WORDS)}I")  # the votes of each language


def language_codes(stated: Texts, captions: Captions) -> list[float]:
    """Return the code of each stated language, else of the guessed one; nan when neither is known.

    >>> language_codes(["en-GB", None], Captions([None, "what is this"]))
    [0, 0]
    """
    texts = zip(stated, captions.folded, captions.words, strict=True)
    return [_code_of(language) if language else guessed_code(folded, words) for language, folded, words in texts]


def guessed_code(folded: str, words: list[str]) -> float:
    """Return the code of a caption's likely language, nan where nothing tells it.

    >>> captions = Captions(["the way you do it", "как дела", "???"])
    >>> codes = map(guessed_code, captions.folded, captions.words)
    >>> [LANGUAGES[code] if code >= 0 else None for code in codes]
    ['en', 'ru', None]
    """
    if not folded.isascii() and _ANY_SCRIPT.search(folded):
        least = SCRIPT_SHARE * len(folded.replace(" ", ""))
        for language, script in _SCRIPTS.items():
            if len(re.findall(script, folded)) > least:
                return _CODES[language]
    total = sum(map(_ballots().get, words, repeat(0)))
    if not total:
        return _UNKNOWN
    votes = _COUNT.unpack(total.to_bytes(_COUNT.size, "little"))
    return votes.index(max(votes))


def _code_of(language: str) -> float:
    return _CODES.get(language.lower().replace("_", "-").split("-")[0], _UNKNOWN)


@cache
def _ballots() -> dict[str, int]:
    """Return the votes of each common word: 32 bits of one integer for each language, so that they add up as one."""
    owners: dict[str, list[int]] = {}
    for language, words in _COMMON_WORDS.items():
        for word in words.split():
            owners.setdefault(word, []).append(_CODES[language])
    return {word: sum(_VOTES // len(codes) << 32 * code for code in codes) for word, codes in owners.items()}
