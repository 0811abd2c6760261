"""Evidently's report is a page that opens without a network, and its gist is small JSON."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from features.errors import NotEnoughDataError
from monitoring.evidently_report import write_report

ROWS = 300


def frame(seed: int, shift: float, columns: int = 3) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    numbers = {f"f{column}": rng.normal(size=ROWS) for column in range(columns)}
    return pl.DataFrame(
        {
            **numbers,
            "moved": rng.normal(shift, 1, ROWS),
            "holes": np.where(rng.random(ROWS) < 0.5, np.nan, rng.normal(size=ROWS)),
            "constant": np.ones(ROWS),
            "media_type": np.where(rng.random(ROWS) < 0.05, np.nan, rng.integers(0, 3, ROWS)),
        }
    )


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    baseline = frame(1, 0.0).with_columns(gone=pl.lit(1.0), never=pl.lit(None, pl.Float64), was=pl.lit(2.0))
    current = frame(2, 1.0).with_columns(gone=pl.lit(float("nan")), never=pl.lit(None, pl.Float64), new=pl.lit(1.0))
    page = tmp_path_factory.mktemp("drift") / "tiktok" / "2026-01-01.html"
    return page, write_report(page, baseline, current, sample=200, seed=7, categorical=["media_type"])


def test_a_shift_of_one_standard_deviation_is_called_drift_and_none_is_not(
    written: tuple[Path, dict[str, Any]],
) -> None:
    columns = written[1]["columns"]
    assert columns["moved"]["drifted"]
    assert columns["moved"]["score"] == pytest.approx(1, abs=0.3)
    assert not columns["constant"]["drifted"]
    assert columns["constant"]["score"] == 0
    assert columns["f0"]["score"] < columns["moved"]["score"] / 2
    methods = {name: each["method"] for name, each in columns.items()}
    assert {methods.pop("media_type"), *methods.values()} == {"jensenshannon", "wasserstein"}
    drifted = sum(each["drifted"] for each in columns.values())
    assert written[1]["drifted_share"] == drifted / 7


def test_columns_that_are_empty_on_a_side_are_named_and_left_out(written: tuple[Path, dict[str, Any]]) -> None:
    assert written[1]["dropped"] == {
        "gone": "unknown throughout the current window",
        "never": "unknown throughout the baseline and the current window",
        "was": "not in the current window",
        "new": "not in the baseline",
    }
    assert set(written[1]["columns"]) == {"f0", "f1", "f2", "moved", "holes", "constant", "media_type"}


def test_larger_frames_are_sampled_and_that_is_said(written: tuple[Path, dict[str, Any]]) -> None:
    assert written[1]["sampled"] == {"baseline": [ROWS, 200], "current": [ROWS, 200]}


def test_the_page_holds_all_it_needs_and_the_json_beside_it_what_was_returned(
    written: tuple[Path, dict[str, Any]],
) -> None:
    page, found = written
    assert sorted(path.name for path in page.parent.iterdir()) == ["2026-01-01.html", "2026-01-01.json"]
    text = page.read_text(encoding="utf-8")
    assert re.findall(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=", text.split("</script>")[0]) == []
    assert not re.search(r"<script[^>]+src=", text)
    assert not re.search(r"<link[^>]+href=", text)
    assert "moved" in text
    assert json.loads(page.with_suffix(".json").read_text()) == found
    assert os.environ["DO_NOT_TRACK"] == "true"


def test_the_columns_asked_for_are_reported_in_that_order_and_the_same_for_a_seed(tmp_path: Path) -> None:
    def report(seed: int) -> dict[str, Any]:
        return write_report(
            tmp_path / "page.html",
            frame(1, 0.0),
            frame(2, 1.0),
            sample=50,
            seed=seed,
            categorical=(),
            columns=["moved", "f1"],
        )

    assert list(report(1)["columns"]) == ["moved", "f1"]
    assert report(1) == report(1)
    assert report(1) != report(2)


def test_nothing_in_common_is_said_and_leaves_no_page(tmp_path: Path) -> None:
    empty = pl.DataFrame({"f0": [float("nan")] * 3})
    with pytest.raises(NotEnoughDataError, match="none of the 1 columns is known on both sides"):
        write_report(tmp_path / "page.html", empty, frame(1, 0.0), sample=9, seed=1, categorical=(), columns=["f0"])
    assert list(tmp_path.iterdir()) == []
