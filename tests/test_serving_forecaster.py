"""From a post to its answer: asked together or alone, remembered, split between versions, and logged."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from features.columns import Posts
from features.errors import NoChampionError
from features.settings import ServiceSettings, Settings
from monitoring.log import LogState, Prediction, Role
from registry.bundle import Bundle
from registry.loading import Loaded, posts_of_rows
from registry.production import Production
from serving.forecaster import Forecaster, side
from serving.measures import Measures
from serving.posts import Post
from serving.versions import Deployed, Version
from tests.training_world import built, known_frame, recipe
from training.answering import answer_posts
from training.examples import Inputs
from training.performance import Performance
from training.performance_model import PerformanceModel

MODEL = "clipcast-tiktok-performance"


@cache
def model() -> PerformanceModel:
    examples = built(known_frame("tiktok"))
    return Performance().fit(recipe(folds=2), examples, np.arange(len(examples)))


def version(model: Any, number: int = 1) -> Version:
    meta = {"platform": "tiktok", "family": "performance", "recipe": {"coverage": 0.8}}
    production = Production(number, f"{number}.0.0", f"{number}" * 64, "2026-11-01T00:00:00+00:00")
    return Version(MODEL, production, Loaded(Bundle(Path(), production.sha256, meta), model))


class Asked:
    """A forecaster over given versions, and what it logged."""

    def __init__(self, champion: Any, challenger: Any = None, **changed: Any) -> None:
        self.logged: list[Prediction] = []
        challengers = {} if challenger is None else {MODEL: version(challenger, 2)}
        self.deployed = Deployed({MODEL: version(champion)}, challengers)
        settings: ServiceSettings = Settings.load().service.model_copy(update=changed)
        self.measures = Measures(lambda: self.deployed, lambda: LogState(0, 0, 0, None, None))
        self.forecaster = Forecaster(lambda: self.deployed, self, self.measures, settings)  # type: ignore[arg-type]

    def append(self, prediction: Prediction) -> None:
        self.logged.append(prediction)

    def answers(self, posts: list[Post], at_once: bool = True) -> list[dict[str, Any]]:
        async def ask() -> list[dict[str, Any]]:
            asked = [self.forecaster.one("performance", post) for post in posts]
            found = await asyncio.gather(*asked) if at_once else [await each for each in asked]
            await asyncio.sleep(0)  # what is done after the answers are out
            return found

        return asyncio.run(ask())

    def batch(self, posts: list[Post]) -> list[dict[str, Any]]:
        async def ask() -> list[dict[str, Any]]:
            found = await self.forecaster.many("performance", posts)
            await asyncio.gather(*self.forecaster._shadows)
            return found

        return asyncio.run(ask())


class Breaking:
    """A model that fails on some posts."""

    def __init__(self, word: str) -> None:
        self.word = word

    def __getattr__(self, name: str) -> Any:
        return getattr(model(), name)

    def forecast(self, inputs: Inputs, names: list[str]) -> Any:
        if any(self.word in (caption or "") for caption in inputs.captions):
            raise ValueError("this post breaks the model")
        return model().forecast(inputs, names)


def rows(count: int = 12) -> list[dict[str, Any]]:
    """Posts of known accounts and of strangers."""
    known = known_frame("tiktok").tail(count)
    names = ("platform", "post_id", "account_id", "published_at", "caption", "media_type", "duration_s", "followers")
    found: list[dict[str, Any]] = [
        {name: value.isoformat() if name == "published_at" else value for name, value in row.items()}
        for row in known.select(names).to_dicts()
    ]
    return [row | ({"account_id": f"new{number}"} if number % 4 == 0 else {}) for number, row in enumerate(found)]


def posts(count: int = 12) -> list[Post]:
    return [Post.model_validate(row) for row in rows(count)]


def unstamped(answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in each.items() if name != "prediction_id"} for each in answers]


def test_posts_asked_at_once_are_answered_exactly_as_one_after_the_other() -> None:
    together, alone = Asked(model()), Asked(model())
    assert unstamped(together.answers(posts())) == unstamped(alone.answers(posts(), at_once=False))
    assert {each.features for each in together.logged} == {each.features for each in alone.logged}


def test_a_post_asked_alone_is_answered_as_the_model_answers_it_in_a_file() -> None:
    for row, answer in zip(rows(4), Asked(model()).answers(posts(4)), strict=True):
        expected = model().predict(posts_of_rows([row], "tiktok")).to_dicts()[0]
        ends = ("prediction", "lower", "upper")
        assert list(answer["views"].values()) == [expected[name] for name in ends]
        assert list(answer["score"].values()) == [expected[name] for name in ("score", "score_lower", "score_upper")]
        assert answer["engagement_rate"]["value"] == expected["engagement_rate"]
        assert answer["account_known"] == expected["account_known"]


def test_posts_of_one_call_know_of_one_another_as_those_of_one_file_do() -> None:
    expected = model().predict(posts_of_rows(rows(), "tiktok"))
    answers = Asked(model()).batch(posts())
    assert [each["views"]["value"] for each in answers] == expected["prediction"].to_list()
    assert [each["post_id"] for each in answers] == expected["post_id"].to_list()


def test_posts_of_one_call_need_no_names_to_know_of_one_another() -> None:
    named = [posts(1)[0].model_copy(update={"post_id": f"p{hour}", **_at(hour)}) for hour in range(4)]
    unnamed = [post.model_copy(update={"post_id": None}) for post in named]
    views = [[each["views"] for each in Asked(model()).batch(each)] for each in (named, unnamed)]
    assert views[0] == views[1]
    assert len({each["value"] for each in views[0]}) > 1


def _at(hour: int) -> dict[str, Any]:
    return {"published_at": posts(1)[0].published_at + timedelta(hours=hour)}


def test_a_post_asked_again_is_remembered_until_another_version_serves() -> None:
    asked = Asked(model())
    [first] = asked.answers(posts(1))
    [again] = asked.answers(posts(1))
    assert unstamped([first]) == unstamped([again])
    assert first["prediction_id"] != again["prediction_id"]
    assert [each.cached for each in asked.logged] == [False, True]
    asked.deployed = Deployed({MODEL: version(model(), 3)})
    [after] = asked.answers(posts(1))
    assert after["version"] == "3.0.0"
    assert not asked.logged[-1].cached
    assert asked.measures.hit_rate == pytest.approx(1 / 3)


def test_what_was_asked_longest_ago_is_forgotten_first() -> None:
    asked = Asked(model(), cache_entries=2)
    for number in (0, 1, 0, 2, 0, 1):
        asked.answers([posts(3)[number]])
    assert [each.cached for each in asked.logged] == [False, False, True, False, True, False]


def test_a_post_that_breaks_the_model_fails_alone() -> None:
    asked = Asked(Breaking("boom"))
    broken = posts(3)[1].model_copy(update={"caption": "boom"})

    async def ask() -> list[Any]:
        calls = [asked.forecaster.one("performance", post) for post in (posts(3)[0], broken, posts(3)[2])]
        return await asyncio.gather(*calls, return_exceptions=True)

    found = asyncio.run(ask())
    assert isinstance(found[1], ValueError)
    assert [found[0]["version"], found[2]["version"]] == ["1.0.0", "1.0.0"]
    assert len(asked.logged) == 2


def test_the_challenger_answers_its_share_of_accounts_and_an_account_stays_with_its_side() -> None:
    many = [posts(1)[0].model_copy(update={"account_id": f"account{number}"}) for number in range(300)]
    asked = Asked(model(), model(), challenger_share=0.3)
    first, again = asked.answers(many), asked.answers(many)
    roles = [each["role"] for each in first]
    assert roles == [each["role"] for each in again]
    assert 0.2 < roles.count("challenger") / 300 < 0.4
    assert {(each["role"], each["version"]) for each in first} == {("champion", "1.0.0"), ("challenger", "2.0.0")}
    wider = Asked(model(), model(), challenger_share=0.6).answers(many)
    stayed = [each["role"] for each, role in zip(wider, roles, strict=True) if role == "challenger"]
    assert set(stayed) == {"challenger"}


def test_sides_are_spread_evenly_and_differ_between_models() -> None:
    found = np.array([[side(name, f"a{number}") for number in range(2_000)] for name in ("one", "two")])
    assert np.abs(np.quantile(found[0], [0.25, 0.5, 0.75]) - [0.25, 0.5, 0.75]).max() < 0.04
    assert abs(np.corrcoef(found)[0, 1]) < 0.08


def test_a_challenger_that_fails_leaves_its_share_to_the_champion_and_is_counted() -> None:
    asked = Asked(model(), Breaking(""), challenger_share=1.0)
    assert {each["role"] for each in asked.answers(posts(3))} == {"champion"}
    assert b'clipcast_challenger_failures_total{model="clipcast-tiktok-performance"} 3.0' in asked.measures.text()


def test_a_challenger_that_fails_on_a_batch_leaves_it_whole_to_the_champion() -> None:
    asked = Asked(model(), Breaking(""), challenger_share=1.0)
    assert unstamped(asked.batch(posts())) == unstamped(Asked(model()).batch(posts()))
    assert b'clipcast_challenger_failures_total{model="clipcast-tiktok-performance"} 12.0' in asked.measures.text()
    assert {each.role for each in asked.logged} == {Role.CHAMPION}


def test_a_shadow_forecasts_everything_that_the_champion_answers_into_the_log_alone() -> None:
    asked = Asked(model(), model(), shadow=True)
    answers = asked.answers(posts(5))
    assert {each["role"] for each in answers} == {"champion"}
    shadows = [each for each in asked.logged if each.role is Role.SHADOW]
    assert {(each.id, each.semver) for each in shadows} == {(each["prediction_id"], "2.0.0") for each in answers}


def test_a_shadow_also_forecasts_what_is_remembered_and_what_comes_in_one_call() -> None:
    asked = Asked(model(), model(), shadow=True)
    asked.answers(posts(1))
    asked.answers(posts(1))
    answers = asked.batch(posts(5))
    shadows = [each for each in asked.logged if each.role is Role.SHADOW]
    assert len(shadows) == 7
    assert {each.id for each in shadows[2:]} == {each["prediction_id"] for each in answers}
    assert [each.answer for each in shadows[2:]] == [each.answer for each in asked.logged[-10:-5]]


def test_a_shadow_that_fails_is_not_noticed_by_who_asks() -> None:
    asked = Asked(model(), Breaking(""), shadow=True)
    assert len(asked.answers(posts(5))) == 5
    assert {each.role for each in asked.logged} == {Role.CHAMPION}


def test_the_log_holds_what_was_asked_what_was_read_and_what_was_answered() -> None:
    asked = Asked(model())
    [answer] = asked.answers([posts(2)[1]])
    [logged] = asked.logged
    inputs, _ = answer_posts(model(), Posts.from_frame(posts_of_rows([rows(2)[1]], "tiktok")), together=False)
    np.testing.assert_array_equal(np.frombuffer(logged.features), inputs.matrix[0])
    assert orjson.loads(logged.answer)["views"] == answer["views"]
    assert orjson.loads(logged.inputs)["account_id"] == rows(2)[1]["account_id"]
    assert (logged.id, logged.model, logged.version) == (answer["prediction_id"], MODEL, 1)
    assert logged.post_id == rows(2)[1]["post_id"]
    assert logged.latency_ms > 0


def test_a_platform_without_a_version_is_named_with_what_to_do() -> None:
    asked = Asked(model())
    youtube = posts(1)[0].model_copy(update={"platform": "youtube"})
    with pytest.raises(NoChampionError, match="clipcast run weekly --platform youtube"):
        asked.answers([youtube])


def test_an_answer_has_one_shape_whether_remembered_or_not() -> None:
    asked = Asked(replace(model()))
    first, again = asked.answers(posts(1)), asked.answers(posts(1))
    assert list(first[0]) == list(again[0])
