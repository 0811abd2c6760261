"""The gate decides by its table and says why."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.settings import Settings
from registry.decision import Decision, Verdict, decide
from registry.gate import Design, Evidence, GateRules, SliceGain
from registry.ledger import Kind
from registry.semver import Change, next_semver, parse
from tests.registry_fakes import good_evidence
from training.evaluate import Interval

RULES = GateRules()
NAN = float("nan")


def replaced(**changes: Any) -> Decision:
    return decide(good_evidence(**changes), RULES)


def refreshed(posts: int, gain: Interval | None) -> Decision:
    return decide(good_evidence(comparison=Design.REFRESH, posts=posts, accounts=3, gain=gain), RULES)


def first(**changes: Any) -> Decision:
    seen = Evidence(
        Design.FIRST,
        posts=300,
        accounts=40,
        loads=True,
        anchor_gain=Interval(0.1, 0.05, 0.15),
        coverage=0.8,
    )
    return decide(replace(seen, **changes), RULES)


def test_the_rules_are_those_of_the_settings(settings: Settings) -> None:
    assert GateRules.from_settings(settings) == RULES
    named = {field.name for field in fields(GateRules)} - {"coverage"}
    assert named == set(type(settings.gate).model_fields) - {"replicates"}


def test_every_verdict_has_its_kind_of_row() -> None:
    assert {Kind(verdict) for verdict in Verdict} <= set(Kind)


@pytest.mark.parametrize(("low", "promoted"), [(0.0051, True), (0.005, False), (-0.01, False), (NAN, False)])
def test_another_recipe_needs_a_lower_bound_above_the_least_gain(low: float, promoted: bool) -> None:
    decision = replaced(gain=Interval(0.02, low, 0.04))
    assert decision.promote is promoted
    assert decision.verdict is (Verdict.PROMOTED if promoted else Verdict.KEPT)


@pytest.mark.parametrize(("low", "promoted"), [(-0.019, True), (-0.02, False)])
def test_a_refresh_may_lose_a_little_by_its_lower_bound(low: float, promoted: bool) -> None:
    assert refreshed(200, Interval(0.0, low, 0.02)).promote is promoted


@pytest.mark.parametrize(("value", "promoted"), [(-0.049, True), (-0.05, False)])
def test_a_small_refresh_is_judged_by_its_point_estimate(value: float, promoted: bool) -> None:
    assert refreshed(199, Interval(value, -0.4, 0.4)).promote is promoted


@pytest.mark.parametrize("gain", [None, Interval(NAN, NAN, NAN)])
def test_a_refresh_without_any_unseen_post_is_insufficient_evidence(gain: Interval | None) -> None:
    decision = refreshed(0, gain)
    assert decision.verdict is Verdict.INSUFFICIENT
    assert "0 posts" in decision.reason


@pytest.mark.parametrize(("posts", "accounts"), [(199, 30), (200, 29)])
def test_a_small_holdout_is_insufficient_evidence_and_changes_nothing(posts: int, accounts: int) -> None:
    decision = replaced(posts=posts, accounts=accounts)
    assert decision.verdict is Verdict.INSUFFICIENT
    assert (decision.promote, decision.challenger, decision.ship_anchor) == (False, False, False)
    assert f"{posts} posts of {accounts} accounts" in decision.reason


def test_a_holdout_of_just_enough_posts_and_accounts_is_enough() -> None:
    assert replaced(posts=200, accounts=30).promote


def slice_of(posts: int, accounts: int, high: float) -> SliceGain:
    return SliceGain("followers 1k-10k × video", posts, accounts, Interval(high - 0.05, high - 0.1, high))


@pytest.mark.parametrize(
    ("piece", "promoted"),
    [
        (slice_of(100, 20, -0.021), False),
        (slice_of(100, 20, -0.02), True),
        (slice_of(99, 20, -0.3), True),
        (slice_of(100, 19, -0.3), True),
    ],
)
def test_a_clearly_worse_slice_refuses_if_it_is_large_enough(piece: SliceGain, promoted: bool) -> None:
    decision = replaced(slices=(slice_of(500, 90, 0.1), piece))
    assert decision.promote is promoted
    assert promoted or piece.name in decision.reason


@pytest.mark.parametrize(
    ("coverage", "error", "passed"),
    [(0.77, 0.0, True), (0.83, NAN, True), (0.769, 0.01, False), (0.74, 0.03, True), (0.739, 0.03, False),
     (None, None, None), (NAN, 0.1, None)],
)  # fmt: skip
def test_intervals_may_miss_by_the_slack_or_two_standard_errors(
    coverage: float | None, error: float | None, passed: bool | None
) -> None:
    decision = replaced(coverage=coverage, coverage_error=error)
    assert decision.checks[2].passed is passed
    assert decision.promote is (passed is True)


@pytest.mark.parametrize(("ratio", "passed"), [(1.5, True), (1.51, False), (None, None), (NAN, None)])
def test_a_slow_model_is_refused(ratio: float | None, passed: bool | None) -> None:
    decision = replaced(latency_ratio=ratio)
    assert decision.checks[3].passed is passed
    assert decision.promote is (passed is True)


@pytest.mark.parametrize("comparison", list(Design))
def test_what_does_not_load_is_never_promoted(comparison: Design) -> None:
    seen = good_evidence(comparison=comparison, loads=False, anchor_gain=Interval(0.1, 0.0, 0.2))
    decision = decide(seen, RULES)
    assert not decision.promote
    assert not decision.ship_anchor
    assert "fresh process" in decision.reason


def test_a_candidate_that_fails_by_its_gain_alone_may_shadow_the_champion() -> None:
    assert replaced(gain=Interval(0.0, -0.01, 0.01)).challenger
    assert not replaced(gain=Interval(0.0, -0.01, 0.01), latency_ratio=2.0).challenger
    assert not replaced().challenger, "it is the champion now"


@pytest.mark.parametrize(("gain", "promoted"), [(-0.02, True), (-0.021, False), (NAN, False)])
def test_the_first_model_ships_unless_it_is_worse_than_the_anchor(gain: float, promoted: bool) -> None:
    decision = first(anchor_gain=Interval(gain, -0.5, 0.5))
    assert decision.promote is promoted
    assert decision.ship_anchor is not promoted
    assert decision.verdict is (Verdict.PROMOTED if promoted else Verdict.REFUSED)


@pytest.mark.parametrize(
    ("kept", "promised", "error", "passed"),
    [(0.1, 0.12, 0.001, True), (0.1, 0.1301, 0.001, False), (0.1, 0.16, 0.031, True), (0.8, 0.1, 0.01, False)],
)
def test_probabilities_are_held_against_their_own_mean_and_not_against_the_coverage_of_intervals(
    kept: float, promised: float, error: float, passed: bool
) -> None:
    decision = replaced(coverage=kept, promised=promised, coverage_error=error)
    check = decision.checks[2]
    assert (check.name, check.passed, decision.promote) == ("calibration", passed, passed)
    assert "came true" in check.detail
    assert "intervals" not in check.detail


def test_a_first_model_whose_probabilities_are_off_is_told_so_and_promoted() -> None:
    decision = first(coverage=0.03, coverage_error=0.004, promised=0.1)
    assert decision.promote
    assert "note that 3 % of the posts came true, outside of 10 % ± 3 % as the probabilities promise" in decision.reason


def test_the_first_model_is_told_of_its_intervals_but_not_stopped_by_them() -> None:
    decision = first(coverage=0.5)
    assert decision.promote
    assert decision.checks[2].passed is False
    assert "intervals cover 50 %" in decision.reason


def test_the_first_model_needs_no_large_holdout() -> None:
    assert first(posts=40, accounts=2).promote


def test_the_anchor_ships_with_a_decision_of_its_own() -> None:
    refused = first(anchor_gain=Interval(-0.1, -0.2, -0.05))
    anchor = refused.for_anchor()
    assert anchor.promote
    assert not anchor.ship_anchor
    assert "-10 %" in anchor.reason


def test_a_decision_says_every_reason_for_which_it_keeps_the_champion() -> None:
    decision = replaced(gain=Interval(0.0, -0.01, 0.01), latency_ratio=3.0, coverage=0.6)
    assert decision.reason == (
        "kept: gain 0 % (-1 % to 1 %) on 1400 posts of 230 accounts, lower bound not above 0.5 %; "
        "intervals cover 60 %, outside of 80 % ± 3 %; "
        "3.00 times the champion's median latency, at most 1.5 allowed"
    )


def test_a_decision_is_plain_json_with_its_evidence_and_rules() -> None:
    plain = replaced(gain=Interval(0.02, NAN, 0.03), slices=(slice_of(100, 20, 0.1),)).to_dict()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert plain["evidence"]["gain"] == {"value": 0.02, "low": None, "high": 0.03}
    assert plain["rules"]["min_gain"] == 0.005
    assert plain["promote"] is False


shares = st.none() | st.floats(-1, 1) | st.just(NAN)
intervals = st.none() | st.builds(Interval, *[st.floats(-1, 1) | st.just(NAN)] * 3)
slices = st.builds(
    SliceGain,
    name=st.text(),
    posts=st.integers(0, 500),
    accounts=st.integers(0, 50),
    gain=st.builds(Interval, *[st.floats(-1, 1)] * 3),
)
evidence = st.builds(
    Evidence,
    comparison=st.sampled_from(Design),
    posts=st.integers(0, 1000),
    accounts=st.integers(0, 100),
    loads=st.booleans(),
    gain=intervals,
    anchor_gain=intervals,
    slices=st.lists(slices, max_size=3).map(tuple),
    coverage=shares,
    coverage_error=shares,
    promised=shares,
    latency_ratio=st.none() | st.floats(0, 9),
)


@given(evidence)
def test_whatever_is_seen_the_gate_answers_without_contradicting_itself(seen: Evidence) -> None:
    decision = decide(seen, RULES)
    assert decision == decide(seen, RULES)
    assert decision.promote + decision.ship_anchor + decision.challenger <= 1
    promise = "intervals" if seen.promised is None else "calibration"
    assert [check.name for check in decision.checks] == ["gain", "slices", promise, "latency", "loads"]
    assert decision.reason
    if decision.promote:
        assert seen.loads
        assert not any(check.passed is False for check in decision.checks if check.name != promise)
    if decision.promote and seen.comparison is not Design.FIRST:
        assert all(check.passed for check in decision.checks)
    json.dumps(decision.to_dict(), allow_nan=False)


def test_versions_count_up_by_what_changed() -> None:
    retrain, refresh, schema = Change.RETRAIN, Change.REFRESH, Change.SCHEMA
    numbers: list[str] = []
    for change in (retrain, refresh, refresh, retrain, schema, refresh):
        numbers.append(next_semver(numbers[-1] if numbers else None, change))
    assert numbers == ["1.0.0", "1.0.1", "1.0.2", "1.1.0", "2.0.0", "2.0.1"]
    assert sorted(["1.10.0", "1.9.9"], key=parse) == ["1.9.9", "1.10.0"]
