"""Topics of words: learned once, the same for a caption wherever it stands."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.captions import Captions
from features.lexicon import Lexicon
from features.words import MAX_WORDS, MIN_POSTS, POSTS_PER_TOPIC, TOPICS, WordTopics

LISTS = {
    "food": "cook bake taste recipe kitchen sweet salt oven bread cheese fresh dinner",
    "sport": "run train gym muscle goal score match team ball sweat coach league",
    "music": "song sing guitar piano beat dance album band stage voice drum bass",
}


def captions(count: int = 1_200) -> list[str | None]:
    """Return captions of three subjects, each with half of its words; one in twenty is unknown."""
    generator = np.random.default_rng(3)
    subjects = [words.split() for words in LISTS.values()]
    made: list[str | None] = [
        " ".join(generator.choice(subjects[number % 3], 6, replace=False)) for number in range(count)
    ]
    return [None if number % 20 == 7 else caption for number, caption in enumerate(made)]


@pytest.fixture(scope="module")
def topics() -> WordTopics:
    return WordTopics.fit(captions(), seed=7)


@given(st.lists(st.none() | st.lists(st.sampled_from(" ".join(LISTS.values()).split()), max_size=20), max_size=9))
@settings(max_examples=100)
def test_a_caption_has_the_same_place_alone_and_among_others(documents: list[list[str] | None]) -> None:
    topics = WordTopics.fit(captions(), seed=7)
    made = [None if words is None else " ".join(words) for words in documents]
    if not made:
        return
    together = topics.transform(Captions(made))
    alone = [topics.transform(Captions([caption])) for caption in made]
    np.testing.assert_array_equal(np.concatenate(alone, axis=1), together, strict=True)


def test_captions_of_one_subject_lie_closer_than_those_of_two(topics: WordTopics) -> None:
    leading = topics.transform(Captions(["cook bake taste", "oven bread cheese", "run gym goal"]))[: len(LISTS)]
    food, more_food, sport = leading.T
    assert food @ more_food > 1 > 5 * abs(food @ sport)


def test_fitting_again_gives_the_same_topics_and_another_seed_the_same_space(topics: WordTopics) -> None:
    again, other = (WordTopics.fit(captions(), seed=seed) for seed in (7, 8))
    assert again.to_dict() == topics.to_dict()
    np.testing.assert_allclose(np.abs(other.vocabulary.vectors[:3]), np.abs(topics.vocabulary.vectors[:3]), atol=1e-6)


def test_words_count_once_and_their_order_does_not_matter(topics: WordTopics) -> None:
    once, often, turned = topics.transform(Captions(["cook bake", "COOK bake #cook, bake!", "bake cook"])).T
    np.testing.assert_array_equal(once, often)
    np.testing.assert_allclose(once, turned)


def test_an_unknown_caption_is_nowhere_and_one_without_known_words_at_the_origin(topics: WordTopics) -> None:
    unknown, empty, strange = topics.transform(Captions([None, "", "qwertz"])).T
    assert np.isnan(unknown).all()
    assert (empty == 0).all()
    assert (strange == 0).all()


@pytest.mark.parametrize(
    "too_little",
    [
        [],
        [None] * 30,
        [""] * 30,
        ["one two three"] * 30,
        [" ".join(f"w{n}" for n in range(40))] * (POSTS_PER_TOPIC - 1),
        [f"word{n}" for n in range(100)],
    ],
    ids=["no captions", "unknown ones", "empty ones", "few words", "few captions", "words of one caption each"],
)
def test_too_little_text_gives_no_topics(too_little: list[str | None]) -> None:
    topics = WordTopics.fit(too_little, seed=7)
    assert topics.vocabulary.words == ()
    assert topics.transform(Captions(["one two", None])).shape == (TOPICS, 2)


def test_captions_that_are_all_alike_leave_the_other_directions_empty() -> None:
    topics = WordTopics.fit([" ".join(f"w{n}" for n in range(40))] * 1_200, seed=7)
    assert np.isfinite(topics.vocabulary.vectors).all()
    assert (topics.vocabulary.vectors[1:] == 0).all()
    assert (topics.vocabulary.vectors[0] > 0).all()


def test_a_small_set_has_few_topics_and_empty_columns_for_the_others() -> None:
    topics = WordTopics.fit(captions(3 * POSTS_PER_TOPIC + 100), seed=7).vocabulary.vectors
    assert topics.shape[0] == TOPICS
    assert topics[:3].any(axis=1).all()
    assert not topics[3:].any()


def test_rare_words_are_not_learned_and_the_commonest_come_first() -> None:
    posts = [f"{' '.join(f'w{n:02d}' for n in range(30))}{' rare' * (row < MIN_POSTS - 1)}" for row in range(200)]
    topics = WordTopics.fit([*posts, "w29 w29", "w29"], seed=7)
    assert topics.vocabulary.words[:3] == ("w29", "w00", "w01")
    assert "rare" not in topics.vocabulary.words
    assert len(topics.vocabulary.words) <= MAX_WORDS


def test_topics_come_back_from_json_as_they_were(topics: WordTopics) -> None:
    for each in (topics, WordTopics.empty()):
        again = WordTopics.from_dict(json.loads(json.dumps(each.to_dict(), allow_nan=False)))
        assert again.vocabulary.words == each.vocabulary.words
        np.testing.assert_array_equal(again.vocabulary.vectors, each.vocabulary.vectors, strict=True)


def test_a_lexicon_sums_the_vectors_of_the_words_it_holds() -> None:
    lexicon = Lexicon(("a", "b"), np.array([[1.0, 2.0], [10.0, 20.0]]))
    positions = lexicon.positions([["a", "x", "b", "a"], [], ["b"]])
    assert positions == [[1, 2], [], [2]]
    assert lexicon.sums(positions).tolist() == [[3.0, 0.0, 2.0], [30.0, 0.0, 20.0]]
