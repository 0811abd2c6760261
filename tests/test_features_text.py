"""Captions: characters, words, hashtags and a guess at the language."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.captions import PART, READ_CHARACTERS, Captions, Kind, hashtags_of, in_parts
from features.language import LANGUAGES, guessed_code, language_codes
from tests.features_world import Made, features_of, known_frame, rows_of

texts = st.text(max_size=60) | st.text(alphabet="aB'’# \n?!@1é😂", max_size=30)


def counted(caption: str | None) -> dict[str, float]:
    """Return the text features of a caption."""
    rows = rows_of(known_frame([Made(caption=caption), Made(hour=1)]))
    return {name: float(column[0]) for name, column in features_of(rows).items()}


def words_of(caption: str) -> list[str]:
    return Captions([caption]).words[0]


def language_of(caption: str) -> str | None:
    captions = Captions([caption])
    code = guessed_code(captions.folded[0], captions.words[0])
    return LANGUAGES[int(code)] if code >= 0 else None


@given(texts)
@settings(max_examples=300)
def test_characters_are_counted_as_python_tells_them(caption: str) -> None:
    counts = dict(enumerate(Captions([caption]).counts[:, 0].tolist()))
    assert counts[Kind.LINE_BREAK] == caption.count("\n")
    assert counts[Kind.HASH] == caption.count("#")
    assert counts[Kind.AT] == caption.count("@")
    assert counts[Kind.EXCLAMATION] == caption.count("!") + caption.count("\uff01")
    assert counts[Kind.DIGIT] == sum(map(str.isdecimal, caption))
    letters = [character for character in caption if character.isalpha()]
    assert counts[Kind.LETTER] + counts[Kind.CAPITAL] == len(letters)
    assert counts[Kind.CAPITAL] == sum(map(str.isupper, letters))
    assert sum(counts.values()) == len(caption) + 1  # the space behind


@given(st.lists(texts | st.none(), max_size=8))
@settings(max_examples=200)
def test_a_caption_is_taken_apart_the_same_alone_and_among_others(captions: list[str | None]) -> None:
    together = Captions(captions)
    for place, caption in enumerate(captions):
        alone = Captions([caption])
        assert together.folded[place] == alone.folded[0]
        assert together.words[place] == alone.words[0]
        assert together.hashtags[place] == alone.hashtags[0]
        np.testing.assert_array_equal(together.counts[:, place], alone.counts[:, 0])


@given(texts)
@settings(max_examples=300)
def test_words_are_letters_digits_and_underscores_in_lower_case(caption: str) -> None:
    for word in words_of(caption):
        assert not re.search(r"[\s#@!?.,;:]", word)
        assert word == word.strip("'")
        assert word


def test_words_keep_the_apostrophes_inside_them() -> None:
    assert words_of("It’s 'quoted' rock'n'roll, dogs' ''a''") == ["it's", "quoted", "rock'n'roll", "dogs", "a"]


def test_words_of_neighbouring_captions_do_not_meet() -> None:
    assert Captions(["a", "'b"]).words == [["a"], ["b"]]
    assert Captions(["a#", "b"]).hashtags == [[], []]


def test_words_hold_their_marks_and_lose_emoji() -> None:
    assert words_of("नमस्ते हिन्दी❤️ café 2day love_life") == [
        "नमस्ते",
        "हिन्दी",
        "café",
        "2day",
        "love_life",
    ]


def test_mathematical_letters_are_read_as_what_they_look_like() -> None:
    assert words_of("\U0001d5e1\U0001d5d8\U0001d5ea \U0001d4cb\U0001d4be\U0001d4b9") == ["new", "vid"]


def test_hashtags_are_distinct_in_lower_case_and_in_their_order() -> None:
    captions = [
        "Dance #FYP #dance #fyp",
        "#a#b ##c # d",
        "#हिन्दी #İstanbul #it's",
        None,
        "none",
    ]
    assert Captions(captions).hashtags == [["fyp", "dance"], ["a", "b", "c"], ["हिन्दी", "istanbul", "it"], [], []]


def test_a_lone_surrogate_is_read_over() -> None:
    assert words_of("a \ud800b") == ["a", "b"]


def test_captions_in_parts_are_all_captions() -> None:
    captions = [f"#t{n}" for n in range(PART + 3)]
    assert [len(part.texts) for part in in_parts(captions)] == [PART, 3]
    assert hashtags_of(captions) == [f"t{n}" for n in range(PART + 3)]
    assert hashtags_of([]) == []
    assert hashtags_of(["#a #b #a", None, "c"]) == ["a b", None, None]


def test_what_stands_behind_the_longest_caption_is_not_read() -> None:
    captions = Captions(["x" * READ_CHARACTERS + "#late!"])
    assert captions.hashtags == [[]]
    assert captions.counts[Kind.EXCLAMATION, 0] == 0


def test_features_of_a_caption() -> None:
    found = counted("WOW, look: 2 dogs & 10 cats 😂😂\n@ann #pets? ¿#dogs\uff01 Link in bio!")
    assert found["caption_length"] == 63
    assert found["caption_words"] == 12
    assert found["caption_lines"] == 1
    assert found["hashtag_count"] == 2
    assert found["mention_count"] == 1
    assert found["emoji_count"] == 2
    assert found["question_count"] == 1
    assert found["exclamation_count"] == 2
    assert found["digit_count"] == 3
    assert found["has_link"] == 1
    assert found["capital_share"] == pytest.approx(4 / 35)


def test_question_marks_of_other_scripts_are_question_marks() -> None:
    assert counted("？؟?")["question_count"] == 3


@pytest.mark.parametrize(
    ("caption", "points"),
    [
        ("see https://example.org", 1.0),
        ("WWW.example.org", 1.0),
        ("Link in Bio", 1.0),
        ("the missing link in biology", 1.0),
        ("httpd www2", 0.0),
        ("", 0.0),
    ],
)
def test_a_link_is_seen(caption: str, points: float) -> None:
    assert counted(caption)["has_link"] == points


def test_capitals_are_a_share_of_letters_and_unknown_without_any() -> None:
    assert counted("Ⓐ")["capital_share"] != counted("Ⓐ")["capital_share"]  # a sign, not a letter
    assert counted("ABcd 12")["capital_share"] == 0.5
    assert counted("ПРИВЕТ")["capital_share"] == 1.0
    assert np.isnan(counted("12 !?")["capital_share"])


def test_an_unknown_caption_is_not_an_empty_one() -> None:
    unknown, empty = counted(None), counted("")
    for name in ("caption_length", "caption_words", "hashtag_count", "has_link", "hashtag_uses", "word_topic_00"):
        assert np.isnan(unknown[name]), name
        assert empty[name] == 0, name


@pytest.mark.parametrize(
    ("caption", "language"),
    [
        ("the way you do it", "en"),
        ("o que você está fazendo com isso", "pt"),
        ("was ist das und wie", "de"),
        ("как дела", "ru"),
        ("ПРИВЕТ", "ru"),
        ("日本語のキャプション", "ja"),
        ("今天天气很好", "zh"),
        ("안녕하세요 여러분", "ko"),
        ("كيف حالك", "ar"),
        ("नमस्ते दुनिया", "hi"),
        ("สวัสดีครับ", "th"),
        ("I have no idea what this is ¯\\_(ツ)_/¯", "en"),
        ("???", None),
        ("", None),
        ("zzz qqq", None),
    ],
)
def test_the_language_is_guessed_from_script_and_words(caption: str, language: str | None) -> None:
    assert language_of(caption) == language


def test_a_stated_language_goes_before_a_guess() -> None:
    captions = Captions(["was ist das"] * 4)
    codes = language_codes(["EN_us", "pt-BR", "tlh", None], captions)
    assert codes[:2] == [LANGUAGES.index("en"), LANGUAGES.index("pt")]
    assert np.isnan(codes[2])
    assert codes[3] == LANGUAGES.index("de")


@given(st.lists(st.sampled_from(["the", "de", "la", "en", "que", "und", "ist", "как", "zzz"]), max_size=12))
def test_a_guess_does_not_hang_on_the_order_of_words(words: list[str]) -> None:
    assert language_of(" ".join(words)) == language_of(" ".join(reversed(words)))
