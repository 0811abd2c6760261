"""Sounds and hashtags: how much they were in use when a post was published."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.captions import Captions
from tests.features_world import Made, features_of, known_frame, rows_of, worlds

WEEK_HOURS = 7 * 24


@given(worlds)
@settings(max_examples=60)
def test_uses_are_what_a_count_through_every_post_finds(world: list[Made]) -> None:
    known = known_frame(world)
    found = features_of(rows_of(known))
    hours = (known["published_at"] - known["published_at"][0]).dt.total_hours().to_list()
    sounds, tags = known["sound_id"].to_list(), Captions(known["caption"].to_list()).hashtags

    def uses(row: int, hours_back: int, same: list[bool]) -> int:
        return sum(used and hours[row] - hours_back <= hours[other] < hours[row] for other, used in enumerate(same))

    for row, sound in enumerate(sounds):
        by_sound = [other == sound for other in sounds]
        if sound is None:
            assert np.isnan(found["sound_uses"][row])
        else:
            assert found["sound_uses"][row] == uses(row, 4 * WEEK_HOURS, by_sound)
            rise = (uses(row, WEEK_HOURS, by_sound) + 1) / (uses(row, 4 * WEEK_HOURS, by_sound) / 4 + 1)
            assert found["sound_momentum"][row] == pytest.approx(np.log(rise))
        if known["caption"][row] is None:
            assert np.isnan(found["hashtag_uses"][row])
        else:
            counts = [uses(row, 4 * WEEK_HOURS, [tag in others for others in tags]) for tag in tags[row]]
            assert found["hashtag_uses"][row] == max(counts, default=0)


def test_a_sound_that_only_now_comes_up_rises_and_one_that_passed_falls() -> None:
    now = 4 * WEEK_HOURS
    passed = [Made(hour=hour, sound="old", account=f"a{hour}") for hour in range(10)]
    coming = [Made(hour=now - 1 - hour, sound="new", account=f"a{hour}") for hour in range(10)]
    asked = [Made(hour=now, sound=sound, account=sound) for sound in ("old", "new", "silent")]
    found = features_of(rows_of(known_frame([*passed, *coming, *asked])))
    old, new, first = found["sound_momentum"][-3:]
    assert old < 0 < new
    assert first == 0
    assert found["sound_uses"][-3:].tolist() == [10, 10, 0]


def test_the_long_look_back_ends_after_four_weeks() -> None:
    known = known_frame([Made(caption="#a"), Made(hour=4 * WEEK_HOURS, caption="#a"), Made(hour=4 * WEEK_HOURS + 1)])
    later = known_frame([Made(caption="#a"), Made(hour=4 * WEEK_HOURS + 1, caption="#a")])
    assert features_of(rows_of(known))["hashtag_uses"].tolist() == [0, 1, 0]
    assert features_of(rows_of(later))["hashtag_uses"].tolist() == [0, 0]


def test_the_most_used_hashtag_speaks_for_a_post() -> None:
    earlier = [Made(hour=hour, caption="#big" if hour else "#small") for hour in range(5)]
    found = features_of(rows_of(known_frame([*earlier, Made(hour=9, caption="#new #small #Big")])))
    assert found["hashtag_uses"][-1] == 4


@given(st.lists(st.sampled_from(["s1", "s2", "", "ß", "a b", "\u0000"]), min_size=2, max_size=12))
def test_sounds_may_have_any_name(sounds: list[str]) -> None:
    known = known_frame([Made(hour=hour, sound=sound) for hour, sound in enumerate(sounds)])
    found = features_of(rows_of(known))["sound_uses"]
    assert found.tolist() == [sounds[:place].count(sound) for place, sound in enumerate(sounds)]
