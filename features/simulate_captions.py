"""The captions of the simulated world, and how a caption changes reach.

All shares and effects are assumptions, but for how often a caption has no emoji [quintly 2019] or no hashtag
[Mention]; see docs/simulation.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from features.columns import Bools, Floats, Ints
from features.simulate_words import (
    COMMON_TAGS,
    CONCEPTS,
    EMOJI,
    FRIENDS,
    TOPICS,
    TREND_FIRST,
    TREND_SECOND,
    VOCABULARIES,
    Vocabulary,
)

CONCEPT_EFFECTS = (0.30, 0.20, 0.35, 0.10, -0.20, -0.45)
CONCEPT_SHARES = (0.08, 0.12, 0.06, 0.10, 0.12, 0.08)

WITHOUT_EMOJI = 0.523  # [quintly 2019]
WITHOUT_HASHTAG = 1 / 3  # [Mention]
HASHTAGS_MORE = 1.8
WORDS_SPREAD, WORDS_MOST = 0.6, 40
TOPIC_WORDS = 0.4
QUESTION, EXCLAMATION, MENTION, NEW_LINE, QUOTES, SHOUTING = 0.18, 0.20, 0.10, 0.30, 0.05, 0.04
QUESTION_EFFECT, MENTION_EFFECT, EMOJI_EFFECT, LENGTH_EFFECT = 0.08, 0.12, 0.06, -0.08


@dataclass(frozen=True)
class Captions:
    """The captions, what they add to log reach, and which of them ask something."""

    texts: list[str]
    effect: Floats
    asks: Bools


@dataclass(frozen=True)
class _Draw:
    """Everything that chance decides about the captions, one entry per post."""

    words: Ints  # number of words
    picks: Floats  # which words: chances by post and position
    on_topic: Bools  # whether a word is of the account's topic, by post and position
    concept: Ints  # -1 for none
    asks: Bools
    exclaims: Bools
    emoji: Ints
    mentions: Bools
    tags: Ints
    breaks: Bools
    quotes: Bools
    shouts: Bools


def write_captions(
    rng: np.random.Generator,
    languages: Sequence[str],
    topics: Ints,
    trend_tags: Sequence[str | None],
    typical_words: float,
) -> Captions:
    """Write a caption for each post, and say what it adds to log reach."""
    draw = _draw(rng, len(languages), typical_words)
    texts = [
        _text(draw, post, VOCABULARIES[language], topic, tag)
        for post, (language, topic, tag) in enumerate(zip(languages, topics.tolist(), trend_tags, strict=True))
    ]
    return Captions(texts, _effect(draw, typical_words), draw.asks)


def trend_tag(position: int) -> str:
    """The name of a trending hashtag, another for every position."""
    first, second = TREND_FIRST[position % 10], TREND_SECOND[position // 10 % 10]
    return f"{first}{second}{position // 100 or ''}"


def _draw(rng: np.random.Generator, posts: int, typical_words: float) -> _Draw:
    """Draw what the captions are made of."""
    words = np.rint(typical_words * np.exp(WORDS_SPREAD * rng.standard_normal(posts)))
    bounds = np.cumsum(CONCEPT_SHARES)
    concept = np.searchsorted(bounds, rng.random(posts), side="right")
    return _Draw(
        words=np.clip(words, 1, WORDS_MOST).astype(np.int64),
        picks=rng.random((posts, WORDS_MOST)),
        on_topic=rng.random((posts, WORDS_MOST)) < TOPIC_WORDS,
        concept=np.where(concept < len(CONCEPTS), concept, -1),
        asks=rng.random(posts) < QUESTION,
        exclaims=rng.random(posts) < EXCLAMATION,
        emoji=np.where(rng.random(posts) < WITHOUT_EMOJI, 0, np.minimum(rng.geometric(0.5, posts), 6)),
        mentions=rng.random(posts) < MENTION,
        tags=np.where(rng.random(posts) < WITHOUT_HASHTAG, 0, 1 + rng.poisson(HASHTAGS_MORE, posts)),
        breaks=rng.random(posts) < NEW_LINE,
        quotes=rng.random(posts) < QUOTES,
        shouts=rng.random(posts) < SHOUTING,
    )


def _effect(draw: _Draw, typical_words: float) -> Floats:
    """What each caption adds to log reach, by its words, its length and its signs."""
    concept = np.append(CONCEPT_EFFECTS, 0.0)[draw.concept]  # -1, no concept, is the last
    length = LENGTH_EFFECT * np.log(draw.words / typical_words)
    signs = QUESTION_EFFECT * draw.asks + MENTION_EFFECT * draw.mentions + EMOJI_EFFECT * (draw.emoji > 0)
    effect: Floats = concept + length + signs
    return effect


def _text(draw: _Draw, post: int, vocabulary: Vocabulary, topic: int, trend: str | None) -> str:
    """Write one caption."""
    picks = draw.picks[post, ::-1].tolist()  # read from the far end: few captions have words there
    marks = "?" * bool(draw.asks[post]) + "!" * bool(draw.exclaims[post])
    emoji = "".join(_one(EMOJI, pick) for pick in picks[: draw.emoji[post]])
    friend = "@" + _one(FRIENDS, picks[6]) if draw.mentions[post] else ""
    sentence = _sentence(draw, post, vocabulary, topic) + marks
    body = " ".join(part for part in (sentence, emoji, friend) if part)
    tags = _tags(draw, post, topic, trend, picks[7:])
    between = "\n" if draw.breaks[post] else " "
    return body + between + tags if tags else body


def _sentence(draw: _Draw, post: int, vocabulary: Vocabulary, topic: int) -> str:
    """Write the words of one caption."""
    number = int(draw.words[post])
    themes = vocabulary.topics[topic]
    chosen = zip(draw.picks[post, :number].tolist(), draw.on_topic[post, :number].tolist(), strict=True)
    words = vocabulary.joint.join(_one(themes if themed else vocabulary.common, pick) for pick, themed in chosen)
    if draw.quotes[post]:
        words = f'"{words}"'
    if draw.concept[post] >= 0:
        words = f"{vocabulary.concepts[draw.concept[post]]}, {words}"
    return words.upper() if draw.shouts[post] else words[:1].upper() + words[1:]


def _tags(draw: _Draw, post: int, topic: int, trend: str | None, picks: list[float]) -> str:
    """Write the hashtags of one caption: the trend, the topic, then common ones."""
    common = [_one(COMMON_TAGS, pick) for pick in picks[: max(0, int(draw.tags[post]) - 1)]]
    own = [TOPICS[topic]] if draw.tags[post] else []
    return " ".join(f"#{tag}" for tag in dict.fromkeys([*([trend] if trend else []), *own, *common]))


def _one(choices: Sequence[str], chance: float) -> str:
    """The choice at a chance between 0 and 1."""
    return choices[int(chance * len(choices))]
