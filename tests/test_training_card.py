"""The golden cards are rewritten by running pytest with UPDATE_GOLDEN=1; look at the difference."""

import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from training.card import Card, render_card
from training.evaluate import Interval, Scored, ladder
from training.facts import (
    CheckFacts,
    DataFacts,
    FeatureFacts,
    HoldoutFacts,
    OutputFacts,
    SourceFacts,
    TrainingFacts,
)
from training.gaps import find_gaps

GOLDEN = Path(__file__).parent / "golden"


def rungs(posts=400, accounts=40):
    """Three rungs from whole random numbers, which are the same on every machine."""
    rng = np.random.default_rng(5)

    def spread(size, count):
        """Bell-shaped numbers with a standard deviation of `size`."""
        return (rng.integers(0, 1001, (count, 12)).sum(axis=1) - 6000) / 1000 * size

    account = np.arange(posts) % accounts
    size, known, rest = 8 + spread(2, accounts)[account], spread(0.8, posts), spread(0.8, posts)
    truth = size + known + rest
    levels = {
        "followers": np.where(size < 8, "<1k", "1k-10k"),
        "account": np.where(account < accounts // 4, "new", "known"),
    }

    def scored(prediction, half_width):
        interval = prediction - half_width, prediction + half_width
        return Scored(account, truth, prediction, *interval, 6 * truth, 6 * prediction, levels)

    return {
        "constant": scored(np.full(posts, 8.0), np.nan),
        "account anchor": scored(size, np.nan),
        "model": scored(size + known, 1.02),
    }


LADDER = ladder(rungs(), train_median=8.0, replicates=200, seed=7)


def card(**changes) -> Card:
    facts = Card(
        model="clipcast-youtube-performance",
        platform="youtube",
        version="1.2.0",
        outcome="views",
        maturity_days=3,
        horizon_days=7,
        data=DataFacts(
            sources=(
                SourceFacts("channels", 5500, 180, "2024-11-02", "2026-02-20", "latest uploads of 180 channels"),
                SourceFacts("default", 120, 20, "2025-12-01", "2026-02-19"),
            ),
            data_hash="6f1d0c",
            trained_through="2026-02-20",
            simulated=False,
            immature=31,
            missing_columns=("sound_id", "saves"),
            followers_backfilled=0.92,
            assumed_known_at=0.88,
            off_horizon=0.41,
            regimes={"views": 2100, "starts": 0, "mixed": 3520},
        ),
        training=TrainingFacts(
            trained_at="2026-03-01",
            recipe="b1946ac92492",
            estimator="lightgbm",
            parameters={"num_leaves": 31, "learning_rate": 0.05},
            code="0a1b2c3",
            seed=7,
            folds=4,
            trials=25,
            embargo_days=3,
            unseen_accounts=Interval(1.104, 1.02, 1.19),
        ),
        holdout=HoldoutFacts("2026-01-20", "2026-02-20", uses=3, refitted=True),
        ladder=LADDER,
        nominal_coverage=0.8,
        interval_method="Normalised split-conformal prediction on forward-chaining folds.",
        outputs=(
            OutputFacts("prediction", "views at 7 days", "MAE of log 0.637"),
            OutputFacts("engagement_rate", "likes and comments over views"),
            OutputFacts("score", "percentile of the views among recent posts, 0 to 100", "MAE 5.1"),
        ),
        features=(
            FeatureFacts("anchor", "account", "Mean of mature earlier outcomes, shrunk.", 0.0),
            FeatureFacts("hour", "timing", "Hour of publication, local where known.", 0.12),
            FeatureFacts("duration", "media", "Length in seconds | log.", 0.63),
        ),
        importance={"anchor": 0.81, "hour": 0.02, "duration": 0.17},
        importance_method="Share of the gain of all splits.",
        decision="replace: promoted over 1.1.0, gain 2.1 % (1.2 to 3.1).",
        checks=(
            CheckFacts("gain", True, "lower bound 1.2 % > 0.5 %"),
            CheckFacts("intervals", True, "coverage 79.5 %, promised 80 %"),
            CheckFacts("latency", None, "no champion to compare with"),
        ),
        pictures={name: f"{name}.png" for name in ("ladder", "slices", "importance", "calibration")},
        gaps=("The words of captions are English only.",),
    )
    return replace(facts, **changes)


def simulated_first() -> Card:
    """The card of a first version in the demonstration: the anchor itself, on simulated posts."""
    real = card()
    return replace(
        real,
        version="1.0.0",
        data=replace(
            real.data,
            sources=(SourceFacts("simulated", 900, 40, "2026-01-01", "2026-02-01", "drawn from a seed"),),
            simulated=True,
            missing_columns=(),
            followers_backfilled=0.0,
            assumed_known_at=0.0,
            off_horizon=0.0,
            regimes={"views": 900},
        ),
        holdout=replace(real.holdout, uses=1, refitted=False),
        importance={},
        pictures={},
        decision=None,
        checks=(),
        gaps=(),
    )


@pytest.mark.parametrize(("name", "facts"), [("card", card()), ("card_simulated", simulated_first())])
def test_the_card_is_the_golden_one(name, facts):
    path = GOLDEN / f"{name}.md"
    written = render_card(facts)
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(written, encoding="utf-8")
    assert written == path.read_text(encoding="utf-8")


def test_every_table_is_well_formed_and_no_number_is_naked():
    text = render_card(card())
    for table in re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE):
        bars = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(bars) == 1, table
    assert "nan" not in text
    assert "None" not in text


def test_simulated_data_is_said_at_the_top_and_first_among_the_gaps():
    text = render_card(simulated_first())
    assert text.index("Simulated data") < text.index("## Intended use")
    assert find_gaps(simulated_first())[0].startswith("**The data are simulated**")
    assert "imulated" not in render_card(card()).replace("simulated posts", "")


def gaps_with(**changes) -> str:
    return " ".join(find_gaps(card(**changes)))


def test_a_gap_is_named_when_it_exists_and_only_then():
    told = gaps_with()
    for words in (
        "`default`",
        "3,520 posts",
        "41.0 %",
        "92.0 %",
        "88.0 %",
        "`sound_id`",
        "used 3 times",
    ):
        assert words in told
    assert "No visual or audio features" in told
    assert "`duration`" in told
    assert "English only" in told
    clean = " ".join(find_gaps(simulated_first()))
    for words in ("regime", "nobody looked within a day", "followers were", "times;", "fitted again"):
        assert words not in clean
    seen = (FeatureFacts("visual_brightness", "measured", "Mean brightness.", 0.2),)
    assert "No visual or audio features" not in gaps_with(features=seen)


def test_a_share_that_is_almost_nothing_is_not_rounded_to_nothing():
    assert "For 0.1 % of posts the followers" in gaps_with(data=replace(card().data, followers_backfilled=1e-5))


def test_a_model_that_is_too_good_to_be_true_is_called_a_leak():
    perfect = rungs()
    perfect["model"] = replace(perfect["model"], prediction=perfect["model"].truth)
    found = ladder(perfect, 8.0, 50)
    assert "leak" in gaps_with(ladder=found)
    assert "leak" not in " ".join(find_gaps(replace(simulated_first(), ladder=found)))


def test_a_slice_where_the_model_is_worse_than_the_anchor_is_named():
    worse = rungs()
    new = worse["model"].slices["account"] == "new"
    worse["model"] = replace(worse["model"], prediction=worse["model"].prediction + np.where(new, 9.0, 0.0))
    told = gaps_with(ladder=ladder(worse, 8.0, 100))
    named = re.search(r"clearly worse than the account anchor in: (.*?)\.", told)
    assert named is not None
    assert "`account new`" in named[1]
    assert "`account known`" not in named[1]


def test_a_holdout_without_new_accounts_or_with_few_posts_says_so():
    few = {rung: one.take(np.arange(400) < 60) for rung, one in rungs().items()}
    small = card(ladder=ladder(few, 8.0, 50))
    told = " ".join(find_gaps(small))
    assert "The holdout is small (60 posts of 40 accounts)" in told
    assert "cold start has not been measured" in told
    assert "## Slices" not in render_card(small)
    assert "this has not been measured" in render_card(small)


def test_intervals_that_do_not_hold_are_named_where_they_do_not():
    narrow = rungs()
    known = narrow["model"].slices["account"] == "known"
    model = narrow["model"]
    narrow["model"] = replace(model, upper=np.where(known, model.prediction, model.upper))
    told = gaps_with(ladder=ladder(narrow, 8.0, 100))
    assert "The interval promises 80 % of outcomes and held" in told
    assert "than promised in: `followers <1k`, `followers 1k-10k`, `account known`." in told


def test_a_check_that_failed_stands_out():
    failed = (CheckFacts("slices", False, "new accounts lose 4 %"),)
    assert "| slices | **failed** | new accounts lose 4 % |" in render_card(card(checks=failed))


def test_a_picture_that_was_not_drawn_is_not_linked():
    assert "![" not in render_card(card(pictures={}))
    assert "](slices.png)" in render_card(card())


def test_text_from_the_data_cannot_break_a_table():
    source = SourceFacts("a|b", 1, 1, "2026-01-01", "2026-01-02", "two\nlines")
    text = render_card(card(data=replace(card().data, sources=(source,))))
    assert "| `a\\|b` | 1 | 1 | 2026-01-01 | 2026-01-02 | two lines |" in text
