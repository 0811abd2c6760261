"""Features of the caption: what it is made of, its language, and the topics of its words."""

from __future__ import annotations

import numpy as np

from features.captions import Kind
from features.catalogue import Compute, feature
from features.columns import Column, choose
from features.language import language_codes
from features.rows import Rows
from features.words import TOPICS

LINK_WORDS = frozenset({"http", "https", "www"})
LINK_PHRASE = "link in bio"


@feature("text")
def caption_length(rows: Rows) -> Column:
    """Characters in the caption."""
    return rows.each([np.nan if text is None else len(text) for text in rows.posts.caption])


@feature("text")
def caption_words(rows: Rows) -> Column:
    """Words, numbers and hashtags in the caption."""
    return rows.each(rows.captions.measure(lambda _, words: len(words)))


@feature("text")
def caption_lines(rows: Rows) -> Column:
    """Line breaks in the caption."""
    return rows.characters[Kind.LINE_BREAK]


@feature("text")
def hashtag_count(rows: Rows) -> Column:
    """Hash signs in the caption."""
    return rows.characters[Kind.HASH]


@feature("text")
def mention_count(rows: Rows) -> Column:
    """Accounts mentioned with @ in the caption."""
    return rows.characters[Kind.AT]


@feature("text")
def emoji_count(rows: Rows) -> Column:
    """Emoji in the caption."""
    return rows.characters[Kind.EMOJI]


@feature("text")
def question_count(rows: Rows) -> Column:
    """Question marks in the caption, those of other scripts included."""
    return rows.characters[Kind.QUESTION]


@feature("text")
def exclamation_count(rows: Rows) -> Column:
    """Exclamation marks in the caption."""
    return rows.characters[Kind.EXCLAMATION]


@feature("text")
def digit_count(rows: Rows) -> Column:
    """Digits in the caption."""
    return rows.characters[Kind.DIGIT]


@feature("text")
def capital_share(rows: Rows) -> Column:
    """Capital letters among the letters of the caption; unknown without letters."""
    letters = rows.characters[Kind.LETTER] + rows.characters[Kind.CAPITAL]
    return rows.characters[Kind.CAPITAL] / choose(letters > 0, letters, np.nan)


@feature("text")
def has_link(rows: Rows) -> Column:
    """1 when the caption points to a link, else 0."""
    return rows.each(rows.captions.measure(_has_link))


@feature("text")
def caption_language(rows: Rows) -> Column:
    """Code of the language: as stated with the post, else guessed from the script and the commonest words."""
    return rows.each(language_codes(rows.posts.language, rows.captions))


def _has_link(folded: str, words: list[str]) -> bool:
    return LINK_PHRASE in folded or not LINK_WORDS.isdisjoint(words)


def _word_topic(topic: int) -> Compute:
    return lambda rows: rows.word_topics[topic]


for _topic in range(TOPICS):
    feature("words", f"word_topic_{_topic:02d}", f"Place of the caption's words along latent topic {_topic}.")(
        _word_topic(_topic)
    )
