"""A guess at the language of a caption: its script, else its commonest words.

Captions are short and mixed, so this is a hint for a model, not an identification; no model file is needed and one
caption takes microseconds.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from features.captions import Captions, Kind
from features.columns import Floats, Texts

_SCRIPTS = {
    "ja": Kind.KANA,
    "ko": Kind.HANGUL,
    "zh": Kind.HAN,
    "ar": Kind.ARABIC,
    "hi": Kind.DEVANAGARI,
    "th": Kind.THAI,
    "ru": Kind.CYRILLIC,
}
"""The language that a script most often stands for, by the first kind of its letters, in the order of the kinds; of
several the first holds, since Japanese is written in Han signs too."""

SCRIPT_SHARE = 0.2
"""Letters of a script among all letters from which on it tells the language: a shrug of one kana does not."""

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
_VOTES = 60  # of each common word, which as many as six languages can share evenly


def language_codes(stated: Texts, captions: Captions) -> Floats:
    """Return the code of each stated language, else of the guessed one; nan when neither is known.

    >>> language_codes(["en-GB", None], Captions([None, "what is this"])).tolist()
    [0.0, 0.0]
    """
    codes = np.array([_stated_code(language) if language else np.nan for language in stated], dtype=np.float64)
    if all(stated):
        return codes
    return np.where([bool(language) for language in stated], codes, guessed_codes(captions))


def guessed_codes(captions: Captions) -> Floats:
    """Return the code of each caption's likely language, nan where nothing tells it.

    >>> codes = guessed_codes(Captions(["the way you do it", "как дела", "???"]))
    >>> [LANGUAGES[int(code)] if code >= 0 else None for code in codes]
    ['en', 'ru', None]
    """
    by_words = np.array([_elected(words) for words in captions.words], dtype=np.float64)
    letters = np.add.reduceat(captions.counts, list(_SCRIPTS.values()), axis=0)
    tells = letters > SCRIPT_SHARE * captions.letters
    return np.where(tells.any(axis=0), tells.argmax(axis=0) + len(_COMMON_WORDS), by_words)


def _stated_code(language: str) -> float:
    return _CODES.get(language.lower().replace("_", "-").split("-")[0], np.nan)


def _elected(words: list[str]) -> float:
    """Return the code of the language that most common words vote for, the first of equals; nan without votes."""
    ballot = _ballot()
    votes = [0] * len(_COMMON_WORDS)
    for word in set(words):
        for code in ballot.get(word, ()):
            votes[code] += _VOTES // len(ballot[word])
    most = max(votes)
    return votes.index(most) if most else np.nan


@cache
def _ballot() -> dict[str, tuple[int, ...]]:
    """Return the codes of the languages that each common word votes for."""
    ballot: dict[str, tuple[int, ...]] = {}
    for language, words in _COMMON_WORDS.items():
        for word in words.split():
            ballot[word] = (*ballot.get(word, ()), _CODES[language])
    return ballot
