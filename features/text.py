"""Features of the caption: what it is made of, its language, and the topics of its words."""

from __future__ import annotations

import numpy as np

from features.captions import Kind
from features.catalogue import feature
from features.columns import Floats
from features.language import language_codes
from features.rows import Rows
from features.words import TOPICS

LINK_WORDS = frozenset({"http", "https", "www"})
LINK_PHRASE = "link in bio"


@feature("text")
def caption_length(rows: Rows) -> Floats:
    """Characters in the caption."""
    return rows.captions.lengths


@feature("text")
def caption_words(rows: Rows) -> Floats:
    """Words, numbers and hashtags in the caption."""
    return np.where(rows.captions.unknown, np.nan, [len(words) for words in rows.captions.words])


@feature(
    "text",
    caption_lines="Line breaks in the caption.",
    digit_count="Digits in the caption.",
    hashtag_count="Hash signs in the caption.",
    mention_count="Accounts mentioned with @ in the caption.",
    question_count="Question marks in the caption, those of other scripts included.",
    exclamation_count="Exclamation marks in the caption.",
    emoji_count="Emoji in the caption.",
)
def characters(rows: Rows) -> Floats:
    """How often signs occur, in the order of `Kind`."""
    return rows.captions.counts[Kind.LINE_BREAK : Kind.EMOJI + 1]


@feature("text")
def capital_share(rows: Rows) -> Floats:
    """Capital letters among the letters of the caption; unknown without letters."""
    counts, letters = rows.captions.counts, rows.captions.letters
    capitals = counts[Kind.CAPITAL] + counts[Kind.CYRILLIC_CAPITAL]
    return np.asarray(capitals / np.where(letters > 0, letters, np.nan))


@feature("text")
def has_link(rows: Rows) -> Floats:
    """1 when the caption points to a link, else 0."""
    captions = zip(rows.captions.words, rows.captions.folded, strict=True)
    links = [not LINK_WORDS.isdisjoint(words) or LINK_PHRASE in text for words, text in captions]
    return np.where(rows.captions.unknown, np.nan, links)


@feature("text")
def caption_language(rows: Rows) -> Floats:
    """Code of the language: as stated with the post, else guessed from the script and the commonest words."""
    return language_codes(rows.posts.language, rows.captions)


@feature(
    "words",
    **{f"word_topic_{n:02d}": f"Place of the caption's words along latent topic {n}." for n in range(TOPICS)},
)
def word_topics(rows: Rows) -> Floats:
    """Place of each caption in the topic space."""
    return rows.fitted.words.transform(rows.captions)
