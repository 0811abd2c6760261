"""The checks of the gate: what each asks of the evidence, and what it answers in a sentence with numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from features.settings import Settings
    from training.evaluate import Interval


class Design(StrEnum):
    """What a candidate is compared with."""

    FIRST = "first"  # nothing is in production yet: the account anchor
    REPLACE = "replace"  # another recipe, on a sealed holdout
    REFRESH = "refresh"  # the same recipe on newer rows: the champion's own bundle
    SHADOW = "shadow"  # in production, on posts that the champion answered and the challenger was asked about too
    SPLIT = "split"  # in production, each on the posts of accounts of its own


IN_PRODUCTION = (Design.SHADOW, Design.SPLIT)


@dataclass(frozen=True)
class SliceGain:
    """The gain of the challenger on one slice of the holdout."""

    name: str
    posts: int
    accounts: int
    gain: Interval


@dataclass(frozen=True)
class Evidence:
    """Everything that a decision may look at; `None` means that it was not, or could not be, measured.

    Gains are shares of the mean error that the challenger removes (of the log, or of a probability, squared): of the
    champion's error in `gain` and `slices`, of the account anchor's in `anchor_gain`. `coverage` is the share of
    outcomes that kept what forecasts promise of them, `coverage_error` its clustered standard error, and `promised` the
    share promised where forecasts are probabilities: their mean. Without it they are intervals, which promise the
    coverage of the rules. `latency_ratio` is the challenger's median over the champion's.

    In production, `posts`, `accounts` and `gain` are those of the posts that have matured there, while `slices` and
    `coverage` stay those of the challenger's holdout.
    """

    comparison: Design
    posts: int
    accounts: int
    loads: bool
    gain: Interval | None = None
    anchor_gain: Interval | None = None
    slices: tuple[SliceGain, ...] = ()
    coverage: float | None = None
    coverage_error: float | None = None
    promised: float | None = None
    latency_ratio: float | None = None
    holdout_uses: int = 0
    loads_detail: str = ""


@dataclass(frozen=True)
class GateRules:
    """The numbers of the gate; shares are fractions, so 0.005 is 0.5 %."""

    min_gain: float = 0.005
    refresh_min_gain: float = -0.02
    refresh_point_gain: float = -0.05
    refresh_min_posts: int = 200
    slice_min_gain: float = -0.02
    slice_min_posts: int = 100
    slice_min_accounts: int = 20
    coverage: float = 0.8
    coverage_slack: float = 0.03
    latency_ratio: float = 1.5
    min_posts: int = 200
    min_accounts: int = 30
    anchor_slack: float = 0.02

    @classmethod
    def from_settings(cls, settings: Settings) -> GateRules:
        """The rules as `params.yaml` and the environment have them."""
        gate = settings.gate.model_dump(exclude={"replicates"})
        return cls(**gate, coverage=settings.intervals.coverage)


@dataclass(frozen=True)
class Check:
    """One check of the gate; `passed` is `None` where it was not measured or has nothing to judge."""

    name: str
    passed: bool | None
    detail: str


def shortage(evidence: Evidence, rules: GateRules) -> str | None:
    """What the evidence lacks for any judgement about a champion."""
    if evidence.comparison is Design.REFRESH:
        unseen = evidence.posts > 0 and _is_known(evidence.gain)
        return None if unseen else f"{_size(evidence)} that neither model has seen, a refresh needs one"
    if evidence.posts < rules.min_posts or evidence.accounts < rules.min_accounts:
        what = "a gain in production" if evidence.comparison in IN_PRODUCTION else "a replace"
        return f"{_size(evidence)}, {what} needs {rules.min_posts} posts of {rules.min_accounts} accounts"
    return None


def check_gain(evidence: Evidence, rules: GateRules) -> Check:
    """Check 1: the gain over the champion, by its lower bound or, for a small refresh, its point estimate."""
    gain = evidence.gain
    if gain is None or not _is_known(gain):
        return Check("gain", None, "the gain over the champion was not measured")
    if evidence.comparison is not Design.REFRESH:
        value, least, which = gain.low, rules.min_gain, "lower bound"
    elif evidence.posts >= rules.refresh_min_posts:
        value, least, which = gain.low, rules.refresh_min_gain, "lower bound"
    else:
        value, least, which = gain.value, rules.refresh_point_gain, "point estimate"
    passed = value > least
    found = f"{which} {'above' if passed else 'not above'} {percent(least)}"
    if evidence.comparison in IN_PRODUCTION:
        seen = f"in production, on {_size(evidence)} by {evidence.comparison}"
        return Check("gain", passed, f"{seen}: gain {_gain(gain)}, {found}")
    return Check("gain", passed, f"gain {_gain(gain)} on {_size(evidence)}, {found}")


def check_anchor(evidence: Evidence, rules: GateRules) -> Check:
    """Check 1 where there is no champion: not worse than the account anchor by more than the slack."""
    gain = evidence.anchor_gain
    if gain is None or not _is_known(gain):
        return Check("gain", None, "the gain over the account anchor was not measured")
    passed = gain.value >= -rules.anchor_slack
    found = f"{'not worse' if passed else 'worse'} by more than {percent(rules.anchor_slack)}"
    return Check("gain", passed, f"gain over the account anchor {_gain(gain)} on {_size(evidence)}, {found}")


def check_slices(evidence: Evidence, rules: GateRules) -> Check:
    """Check 2: on no slice that is large enough is the challenger clearly worse."""
    judged = [
        piece
        for piece in evidence.slices
        if piece.posts >= rules.slice_min_posts and piece.accounts >= rules.slice_min_accounts
    ]
    limit = f"an upper bound below {percent(rules.slice_min_gain)}"
    worse = [piece for piece in judged if piece.gain.high < rules.slice_min_gain]
    if worse:
        named = ", ".join(f"{piece.name} ({_gain(piece.gain)} on {_size(piece)})" for piece in worse)
        return Check("slices", False, f"gain with {limit} on {named}")
    return Check("slices", True, f"{len(judged)} slices are large enough to judge, none has {limit}")


def check_promise(evidence: Evidence, rules: GateRules) -> Check:
    """Check 3: intervals cover what they promise, or probabilities come true, within the slack or two errors."""
    kept, error = evidence.coverage, evidence.coverage_error
    intervals = evidence.promised is None
    name, what = ("intervals", "coverage of the intervals") if intervals else ("calibration", "calibration")
    if kept is None or not math.isfinite(kept):
        return Check(name, None, f"the {what} was not measured")
    promised = rules.coverage if evidence.promised is None else evidence.promised
    two_errors = 2 * error if error is not None and math.isfinite(error) else 0.0
    allowed = max(rules.coverage_slack, two_errors)
    off = abs(kept - promised)
    passed = off <= allowed or math.isclose(off, allowed)
    said = f"intervals cover {percent(kept)}" if intervals else f"{percent(kept)} of the posts came true"
    found = f"{'within' if passed else 'outside of'} {percent(promised)} ± {percent(allowed)}"
    return Check(name, passed, f"{said}, {found}{'' if intervals else ' as the probabilities promise'}")


def check_latency(evidence: Evidence, rules: GateRules) -> Check:
    """Check 4: the challenger answers about as fast as the champion."""
    ratio = evidence.latency_ratio
    if ratio is None or not math.isfinite(ratio):
        return Check("latency", None, "the latency beside the champion was not measured")
    found = f"{ratio:.2f} times the champion's median latency, at most {rules.latency_ratio:g} allowed"
    return Check("latency", ratio <= rules.latency_ratio, found)


def check_loads(evidence: Evidence) -> Check:
    """Check 5: a fresh process can serve the bundle."""
    if evidence.loads:
        return Check("loads", True, "a fresh process loads the bundle and reproduces its stored example")
    why = f" ({evidence.loads_detail})" if evidence.loads_detail else ""
    return Check("loads", False, f"no fresh process loads the bundle and reproduces its stored example{why}")


def percent(share: float) -> str:
    """A share in percent, with a decimal where it needs one.

    >>> percent(0.005), percent(-0.02), percent(float("nan"))
    ('0.5 %', '-2 %', 'unknown')
    """
    return "unknown" if math.isnan(share) else f"{round(100 * share, 1):g} %"


def _is_known(gain: Interval | None) -> bool:
    return gain is not None and math.isfinite(gain.value)


def _size(counted: Evidence | SliceGain) -> str:
    return f"{counted.posts} posts of {counted.accounts} accounts"


def _gain(gain: Interval) -> str:
    return f"{percent(gain.value)} ({percent(gain.low)} to {percent(gain.high)})"
