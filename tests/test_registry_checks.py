"""A model is timed fairly, and loads in a fresh process or says why not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from features.errors import BundleError, SchemaError
from features.schema import IMPORT
from registry.bundle import BUNDLE_FILE, open_bundle, write_bundle
from registry.checks import latency, loads
from registry.loading import differences, load, make_example, posts_of, posts_of_rows
from tests.registry_fakes import ROWS, use_slope, write_slope
from tests.registry_slope import Slope


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    use_slope(monkeypatch, tmp_path)
    return write_slope(tmp_path / "model")


def test_latency_is_the_ratio_of_the_posts_medians() -> None:
    calls: list[str] = []
    clock = Clock({"champion": 0.002, "challenger": 0.003}, calls)
    found = latency(
        lambda _: calls.append("champion"),
        lambda _: calls.append("challenger"),
        posts_of_rows(ROWS, "youtube"),
        rounds=9,
        clock=clock,
    )
    assert found.champion_s == pytest.approx(0.002)
    assert found.ratio == pytest.approx(1.5)


def test_a_machine_that_is_busy_two_times_in_three_changes_no_ratio() -> None:
    """Each call is interrupted for a while at random, as under a test suite on the other core."""
    calls: list[str] = []
    busy = np.random.default_rng(7)
    clock = Clock({"champion": 0.002, "challenger": 0.002}, calls, lambda: float(busy.choice((0.0, 0.003, 0.006))))
    posts = posts_of_rows(ROWS, "youtube")
    found = latency(lambda _: calls.append("champion"), lambda _: calls.append("challenger"), posts, clock=clock)
    assert found.ratio == pytest.approx(1.0)


def test_a_challenger_slow_on_most_posts_is_slow() -> None:
    posts = posts_of_rows(ROWS, "youtube")
    slow = posts["post_id"].to_list()[1:]
    calls: list[str] = []
    clock = Clock({"quick": 0.002, "slow": 0.008}, calls)
    found = latency(
        lambda _: calls.append("quick"),
        lambda post: calls.append("slow" if post["post_id"][0] in slow else "quick"),
        posts,
        clock=clock,
    )
    assert found.ratio == pytest.approx(4.0)


def test_both_models_are_asked_in_turns_and_each_goes_first_as_often() -> None:
    calls: list[str] = []
    latency(lambda _: calls.append("a"), lambda _: calls.append("b"), posts_of_rows(ROWS, "youtube"), rounds=9)
    pairs = ["".join(calls[start : start + 2]) for start in range(0, 20, 2)]
    assert pairs == ["ba", "ab"] * 5


def test_models_are_timed_on_single_posts() -> None:
    heights: set[int] = set()
    latency(lambda posts: heights.add(posts.height), lambda _: None, posts_of_rows(ROWS, "youtube"), rounds=4)
    assert heights == {1}


class Clock:
    """A clock on which each model takes its own time, and what interrupts it."""

    def __init__(
        self, seconds: dict[str, float], calls: list[str], interruption_s: Callable[[], float] = lambda: 0.0
    ) -> None:
        self.now, self.seconds, self.calls, self.seen = 0.0, seconds, calls, 0
        self.interruption_s = interruption_s

    def __call__(self) -> float:
        self.now += sum(self.seconds[name] + self.interruption_s() for name in self.calls[self.seen :])
        self.seen = len(self.calls)
        return self.now


def test_a_bundle_loads_in_a_fresh_process_and_reproduces_its_example(folder: Path) -> None:
    found = loads(open_bundle(folder))
    assert (found.passed, found.detail) == (
        True,
        f"bundle {open_bundle(folder).sha256[:12]} loads and reproduces its example",
    )


def test_a_bundle_altered_after_it_was_opened_does_not_load(folder: Path) -> None:
    bundle = open_bundle(folder)
    (folder / "slope.txt").write_text("3")
    found = loads(bundle)
    assert not found.passed
    assert "slope.txt was altered" in found.detail


def test_a_model_that_answers_otherwise_than_it_was_stored_does_not_pass(folder: Path) -> None:
    change_example(folder, lambda example: example["expected"][1].update(prediction=42.000001))
    found = loads(open_bundle(folder))
    assert not found.passed
    assert "p2: prediction is 42.0, expected 42.000001" in found.detail


def test_a_model_whose_code_fails_does_not_pass_and_its_error_is_told(folder: Path) -> None:
    (folder / "slope.txt").write_text("not a number")
    rewrite(folder, {})
    found = loads(open_bundle(folder))
    assert not found.passed
    assert "ValueError" in found.detail


def test_a_model_that_does_not_come_back_does_not_pass(folder: Path) -> None:
    found = loads(open_bundle(folder), timeout_s=0.01)
    assert not found.passed
    assert "within 0.01 s" in found.detail


@pytest.mark.parametrize("off", [0.0, 1e-10, -1e-10])
def test_the_last_digits_may_differ(folder: Path, off: float) -> None:
    change_example(folder, lambda example: example["expected"][0].update(prediction=21.0 + off))
    assert differences(load(folder)) == []


def test_an_example_must_be_there(folder: Path) -> None:
    rewrite(folder, {"example": {}})
    assert differences(load(folder)) == ["the bundle holds no example to reproduce"]


def test_an_example_survives_its_way_through_json() -> None:
    posts = posts_of_rows(ROWS, "youtube")
    example = json.loads(json.dumps(make_example(Slope(1 / 3), posts), allow_nan=False))
    assert posts_of_rows(example["rows"], "youtube").equals(posts)
    assert example["expected"][0]["prediction"] == 10.5 / 3


def test_an_example_holds_what_a_caller_could_send() -> None:
    known = posts_of_rows(ROWS, "youtube").with_columns(source=pl.lit("s"), views=pl.lit(5), known_at=None)
    example = make_example(Slope(2.0), known)
    assert set(example["rows"][0]) == set(ROWS[0])


def test_a_model_that_answers_other_posts_than_asked_cannot_serve(folder: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(Slope, "predict", lambda _, posts: posts.select("post_id").reverse())
    with pytest.raises(BundleError, match="in their order"):
        load(folder).predict(posts_of_rows(ROWS, "youtube"))


def test_posts_get_the_types_of_the_import_format() -> None:
    posts = posts_of_rows([{**ROWS[0], "followers": 12.0, "duration_s": 3}], "youtube")
    assert dict(posts.schema) == dict(IMPORT)
    assert posts["followers"].to_list() == [12]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"platform": ["youtube"]}, "missing column post_id, missing column account_id, missing column published_at"),
        ({**{name: ["x"] for name in ROWS[0]}, "pony": [1]}, "unknown column 'pony'"),
        ({name: [] for name in ROWS[0]}, "no posts"),
        ({name: [7] for name in ROWS[0]}, "column platform must hold text"),
        ({**{name: ["x"] for name in ROWS[0]}, "followers": ["many"]}, "must hold numbers"),
    ],
)
def test_columns_that_cannot_be_posts_are_named(columns: dict[str, list[Any]], message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        posts_of(columns, "youtube")


def test_of_many_bad_rows_a_few_are_named_and_all_counted() -> None:
    rows = [{**ROWS[0], "post_id": ""}] * 9
    with pytest.raises(SchemaError, match=r"row 1, post_id: is empty.*row 5.*and 4 more rows"):
        posts_of_rows(rows, "youtube")


def change_example(folder: Path, change: Any) -> None:
    example = json.loads((folder / BUNDLE_FILE).read_text())["example"]
    change(example)
    rewrite(folder, {"example": example})


def rewrite(folder: Path, changes: dict[str, Any]) -> None:
    meta = json.loads((folder / BUNDLE_FILE).read_text())
    del meta["files"]
    write_bundle(folder, {**meta, **changes})
