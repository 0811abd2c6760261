import json
import math
import subprocess
import sys
import time
from dataclasses import replace
from io import StringIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from scipy.stats import spearmanr

from features.errors import NotEnoughDataError, SchemaError, SettingsError
from training.evaluate import Interval, Scored, coverage_with_error, ladder, paired_gain
from training.resampling import Ranking, Resamples, agreement

MEDIAN = 8.0


def scored(prediction, truth, account, half_width=1.3, slices=None):
    prediction = np.asarray(prediction, float)
    return Scored(
        np.asarray(account, np.int64),
        np.asarray(truth, float),
        prediction,
        prediction - half_width,
        prediction + half_width,
        5 * np.asarray(truth, float),
        5 * prediction,
        slices or {},
    )


def world(posts=600, accounts=60, seed=0, slices=True):
    """Three rungs on posts whose accounts differ, as they do in life."""
    rng = np.random.default_rng(seed)
    account = rng.integers(0, accounts, posts)
    size = rng.normal(MEDIAN, 2, accounts)
    habit = rng.normal(0, 0.7, accounts)[account]
    truth = np.log1p(np.round(np.expm1(np.clip(size[account] + habit + rng.normal(0, 1, posts), 0, None))))
    tiers = np.array(["<1k", "1k-10k", "10k-100k"])[np.digitize(size, [7, 9])][account]
    kind = np.array(["video", "image"])[rng.integers(0, 2, posts)]
    given = {"followers": tiers, "media_type": kind} if slices else {}
    return {
        "constant": scored(np.full(posts, MEDIAN), truth, account, 3.0),
        "account anchor": scored(size[account] + rng.normal(0, 0.8, posts), truth, account, 1.8),
        "model": scored(size[account] + habit / 2, truth, account, 1.5, given),
    }


def test_the_metrics_of_a_handful_of_posts_are_those_worked_out_by_hand():
    truth = [1.0, 2.0, 3.0, 4.0, 10.0]
    model = scored([1.0, 3.0, 3.0, 4.0, 5.0], truth, [0, 0, 1, 1, 2], half_width=1.0)
    found = {k: v.value for k, v in ladder({"model": model}, 2.5, replicates=50, seed=1).rungs["model"].items()}
    assert found["mae_log"] == pytest.approx(6 / 5)
    assert found["r2"] == pytest.approx(1 - 26 / 50)
    assert found["mae_score"] == pytest.approx(6.0)
    assert found["accuracy"] == pytest.approx(4 / 5)  # the second post was put above the median and came below
    assert found["precision_top_fifth"] == 1.0
    assert found["coverage"] == pytest.approx(4 / 5)
    assert found["width"] == pytest.approx(2.0)
    assert found["spearman"] == pytest.approx(spearmanr(truth, model.prediction)[0])


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 4)), min_size=3, max_size=40))
@settings(max_examples=80, deadline=None)
def test_counting_a_post_twice_is_the_same_as_having_it_twice(posts):
    truth, prediction, weight = (np.array(column, float) for column in zip(*posts, strict=True))
    if weight.sum() == 0:
        weight += 1
    repeated = np.repeat(np.arange(len(weight)), weight.astype(int))
    weighted = agreement(Ranking.of(truth), [Ranking.of(prediction)], weight)
    truth, prediction = truth[repeated], prediction[repeated]
    plain = agreement(Ranking.of(truth), [Ranking.of(prediction)], np.ones(len(repeated)))
    np.testing.assert_allclose(weighted[:, 0], plain[:, 0], atol=1e-12)
    if len(set(truth)) > 1:
        np.testing.assert_allclose(weighted[:, 1], plain[:, 1], atol=1e-12)
        if len(set(prediction)) > 1:
            assert plain[0, 0] == pytest.approx(spearmanr(truth, prediction)[0])


def test_the_top_fifth_without_ties_is_the_overlap_of_the_two_fifths():
    rng = np.random.default_rng(3)
    truth, prediction = rng.normal(size=203), rng.normal(size=203)
    best = set(np.argsort(-truth)[:40]) & set(np.argsort(-prediction)[:40])
    found = agreement(Ranking.of(truth), [Ranking.of(prediction)], np.ones(203))
    assert found[0, 1] == pytest.approx(len(best) / 40)


def test_replicated_sums_are_sums_over_the_drawn_accounts():
    rungs = world(80, 9)
    samples = Resamples.of(rungs["model"].account, 25, seed=4)
    columns = np.column_stack([np.ones(80), rungs["model"].truth])
    sums = samples.sums(samples.totals(columns))
    by_hand = [columns.T @ weight[samples.code] for block in samples.weights() for weight in block]
    np.testing.assert_allclose(sums, by_hand)
    assert all(weight.sum() == 9 for block in samples.weights() for weight in block)


def test_the_model_is_above_the_anchor_is_above_the_constant_and_every_interval_holds_its_value():
    found = ladder(world(), MEDIAN, replicates=300)
    constant, anchor, model = found.rungs.values()
    assert model["mae_log"].high < anchor["mae_log"].low < anchor["mae_log"].high < constant["mae_log"].low
    assert found.gain.low > 0
    for metrics in found.rungs.values():
        for name, interval in metrics.items():
            if name != "spearman" or metrics is not constant:
                assert interval.low <= interval.value <= interval.high, name


def test_posts_of_one_account_resemble_each_other_so_they_widen_the_interval():
    constant = world(1500, 30, slices=False)["constant"]

    def width(account):
        found = ladder({"constant": replace(constant, account=account)}, MEDIAN, 400)
        return found.rungs["constant"]["mae_log"].high - found.rungs["constant"]["mae_log"].low

    alone = width(np.arange(1500))
    assert width(constant.account) > 2 * alone
    assert width(np.random.default_rng(0).permuted(constant.account)) == pytest.approx(alone, rel=0.4)


def test_the_bootstrap_interval_agrees_with_the_linearised_error():
    model = world(4000, 200, slices=False)["model"]
    inside = (model.lower <= model.truth) & (model.truth <= model.upper)
    coverage, error = coverage_with_error(model.account, inside)
    interval = ladder({"model": model}, MEDIAN, 1000).rungs["model"]["coverage"]
    assert interval.value == pytest.approx(coverage)
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * error, rel=0.15)


def test_the_same_seed_gives_the_same_ladder_whatever_the_accounts_are_called():
    rungs = world(300, 20)
    renamed = {rung: replace(one, account=one.account * 7 + 1000) for rung, one in rungs.items()}
    assert ladder(rungs, MEDIAN, 100, seed=3).to_dict() == ladder(renamed, MEDIAN, 100, seed=3).to_dict()
    assert ladder(rungs, MEDIAN, 100, seed=3).to_dict() != ladder(rungs, MEDIAN, 100, seed=4).to_dict()


def test_a_slice_is_a_ladder_of_its_own_posts_and_levels_are_in_the_order_of_their_numbers():
    rungs = world()
    found = ladder(rungs, MEDIAN, 200)
    tiers = [row for row in found.slices if row.slice == "followers"]
    assert [row.level for row in tiers] == ["<1k", "1k-10k", "10k-100k"]
    assert sum(row.posts for row in tiers) == found.posts
    part = {rung: one.take(rungs["model"].slices["followers"] == "<1k") for rung, one in rungs.items()}
    alone = ladder(part, MEDIAN, 200)
    assert tiers[0].to_dict()["rungs"] == alone.table()
    assert (tiers[0].gain, tiers[0].accounts) == (alone.gain, alone.accounts)


def test_what_a_constant_cannot_tell_is_null_in_json_and_said_in_words():
    found = ladder(world(), MEDIAN, 50)
    row = found.table()[0]
    assert row["rung"] == "constant"
    assert (row["spearman"], row["spearman_low"], row["spearman_high"]) == (None, None, None)
    assert row["precision_top_fifth"] == pytest.approx(0.2)
    assert "NaN" not in json.dumps(found.to_dict(), allow_nan=False)
    assert "spearman" not in found.metrics("constant")
    assert {"r2", "r2_low", "r2_high", "spearman", "width_high"} <= set(found.metrics())
    assert "| Spearman | unknown |" in found.to_markdown()


def test_one_account_gives_values_without_intervals():
    rungs = {rung: replace(one, account=np.zeros(600, np.int64)) for rung, one in world(slices=False).items()}
    found = ladder(rungs, MEDIAN, 50)
    row = found.table()[2]
    assert row["mae_log"] is not None
    assert row["mae_log_low"] is None
    assert "(no interval)" in found.to_markdown()


def test_outcomes_that_are_all_equal_have_no_r2_no_ranks_but_an_error():
    model = scored(np.linspace(4, 6, 30), np.full(30, 5.0), np.arange(30) % 6)
    row = ladder({"model": model}, MEDIAN, 50).table()[0]
    assert (row["r2"], row["spearman"], row["precision_top_fifth"]) == (None, None, None)
    assert row["mae_log"] > 0


def test_a_rung_without_intervals_has_neither_coverage_nor_width():
    anchor = scored([4.0, 5.0, 6.0], [4.0, 5.5, 6.0], [0, 1, 2], half_width=np.nan)
    row = ladder({"account anchor": anchor}, MEDIAN, 50).table()[0]
    assert (row["coverage"], row["width"]) == (None, None)
    endless = scored([4.0, 5.0, 6.0], [4.0, 5.5, 6.0], [0, 1, 2], half_width=np.inf)
    row = ladder({"account anchor": endless}, MEDIAN, 50).table()[0]
    assert (row["coverage"], row["width"]) == (1.0, None)


def test_a_single_post_is_scored_without_a_crash():
    row = ladder({"model": scored([4.0], [5.0], [7])}, MEDIAN, 20).table()[0]
    assert row["mae_log"] == 1.0
    assert row["r2"] is None


def test_a_ladder_is_refused_where_it_would_mislead():
    rungs = world(slices=False)
    model = rungs["model"]
    nobody = scored([], [], [])
    with pytest.raises(NotEnoughDataError, match="import more posts"):
        ladder({"model": nobody}, MEDIAN)
    with pytest.raises(NotEnoughDataError):
        ladder({}, MEDIAN)
    with pytest.raises(SchemaError, match="log1p"):
        ladder(rungs, 12_000.0)
    with pytest.raises(SchemaError, match="other posts"):
        ladder(rungs | {"model": replace(model, truth=model.truth + 1)}, MEDIAN)
    with pytest.raises(SchemaError, match="arrays of"):
        ladder(rungs | {"model": replace(model, upper=model.upper[1:])}, MEDIAN)
    with pytest.raises(SchemaError, match="no finite number"):
        ladder(rungs | {"model": replace(model, prediction=model.prediction * np.nan)}, MEDIAN)
    with pytest.raises(SettingsError, match="replicates"):
        ladder(rungs, MEDIAN, replicates=0)


def test_equal_errors_gain_nothing_and_smaller_errors_gain_surely():
    rng = np.random.default_rng(5)
    account = rng.integers(0, 50, 1000)
    error = np.abs(rng.normal(1, 0.3, 1000))
    assert paired_gain(account, error, error, 200, 1) == Interval(0.0, 0.0, 0.0)
    better = paired_gain(account, error, 0.9 * error, 200, 1)
    assert better.low == pytest.approx(0.1)
    assert paired_gain(account, error, 1.2 * error, 200, 1).high < 0
    assert paired_gain(account, -error, 0.9 * error, 200, 1) == better  # the sign of an error does not matter


def test_a_gain_from_one_account_of_many_is_not_sure():
    account = np.repeat(np.arange(20), 10)
    error = np.ones(200)
    challenger = np.where(account == 0, 0.2, 1.02)
    gain = paired_gain(account, error, challenger, 1000, 1)
    assert gain.value > 0 > gain.low


def test_a_gain_that_cannot_be_known_is_unknown():
    one = paired_gain(np.zeros(5, np.int64), np.ones(5), np.full(5, 0.5), 100, 1)
    assert one.value == 0.5
    assert math.isnan(one.low)
    assert math.isnan(paired_gain(np.arange(5), np.zeros(5), np.ones(5), 100, 1).value)
    with pytest.raises(NotEnoughDataError):
        paired_gain(np.array([], np.int64), np.array([]), np.array([]), 100, 1)


def test_the_error_of_coverage_is_the_textbook_one_for_accounts_of_one_post():
    inside = np.arange(100) < 80
    coverage, error = coverage_with_error(np.arange(100), inside)
    assert coverage == 0.8
    assert error == pytest.approx(math.sqrt(0.8 * 0.2 / 99))
    _, clustered = coverage_with_error(np.arange(100) // 10, inside)
    assert clustered > 2 * error
    assert math.isnan(coverage_with_error(np.zeros(100, np.int64), inside)[1])
    with pytest.raises(NotEnoughDataError):
        coverage_with_error(np.array([], np.int64), np.array([], bool))


def test_the_ladder_prints_on_a_narrow_screen():
    found = ladder(world(), MEDIAN, 20)
    narrow, wide = StringIO(), StringIO()
    found.render(Console(file=narrow, width=80))
    found.render(Console(file=wide, width=120))
    value = found.rungs["model"]["mae_log"]
    assert "…" not in narrow.getvalue()
    assert f"({value.low:.3f} to {value.high:.3f})" in narrow.getvalue()
    assert str(value) in wide.getvalue()


def test_words_never_show_a_minus_zero():
    assert str(Interval(-0.0001, -0.002, 0.001)) == "0.000 (-0.002 to 0.001)"
    assert Interval(0.8, 0.78, 0.83).words(percent=True) == "80.0 % (78.0 to 83.0)"


def test_evaluate_needs_only_numpy():
    code = "import sys, training.evaluate; print({'scipy', 'polars', 'matplotlib', 'rich'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.slow
def test_seven_thousand_posts_take_less_than_four_seconds():
    rungs = world(7000, 375)
    start = time.process_time()
    ladder(rungs, MEDIAN, replicates=1000)
    assert time.process_time() - start < 4
