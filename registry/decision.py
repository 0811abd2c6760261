"""The decision about a candidate: made from evidence alone, and explained in sentences."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from registry import gate
from registry.gate import Check, Design, Evidence, GateRules


class Verdict(StrEnum):
    """What came of a decision; the ledger has a kind of row for each."""

    PROMOTED = "promoted"
    KEPT = "kept"
    INSUFFICIENT = "insufficient"
    REFUSED = "refused"


@dataclass(frozen=True)
class Decision:
    """What was decided, why, and from what.

    `promote` says that the candidate moves into production, `ship_anchor` that the account anchor does in its
    place, and `challenger` that a candidate which does not move passed checks 2 to 5 and may shadow the
    champion.
    """

    verdict: Verdict
    reason: str
    checks: tuple[Check, ...]
    evidence: Evidence
    rules: GateRules
    ship_anchor: bool = False
    challenger: bool = False

    def for_anchor(self) -> Decision:
        """The decision by which the account anchor ships, after this one refused the model."""
        reason = f"promoted as the first: the account anchor, since the model has a {self.checks[0].detail}"
        return replace(self, verdict=Verdict.PROMOTED, reason=reason, ship_anchor=False)

    @property
    def promote(self) -> bool:
        """Whether the candidate moves into production."""
        return self.verdict is Verdict.PROMOTED

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values; a number that is not finite becomes `None`."""
        plain: dict[str, Any] = _plain({**asdict(self), "promote": self.promote})
        return plain


def decide(evidence: Evidence, rules: GateRules) -> Decision:
    """Decide what happens to a candidate.

    - *replace* and *refresh*: it is promoted when all five checks pass; a check that could not be measured
      has not passed. A holdout too small to judge (for a refresh, one without a single post) is insufficient
      evidence, and changes nothing at all. A gain in *production* is judged as that of a replace.
    - *first*: there is no champion to lose, so two things alone stop it: it does not load, or it is worse
      than the account anchor by more than the slack, and then the anchor ships. Its promise (check 3) is reported
      without blocking, since otherwise there would be no forecast at all; slices and latency have nothing to
      be compared with.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from training.evaluate import Interval
    >>> seen = Evidence(
    ...     Design.REPLACE, posts=1400, accounts=230, loads=True, gain=Interval(0.021, 0.012, 0.031),
    ...     coverage=0.81, coverage_error=0.01, latency_ratio=1.1,
    ... )
    >>> rules = GateRules()
    >>> decide(seen, rules).promote
    True
    >>> print(decide(seen, rules).reason)
    promoted: gain 2.1 % (1.2 % to 3.1 %) on 1400 posts of 230 accounts, lower bound above 0.5 %
    >>> print(decide(replace(seen, gain=Interval(0.011, -0.002, 0.024)), rules).reason)
    kept: gain 1.1 % (-0.2 % to 2.4 %) on 1400 posts of 230 accounts, lower bound not above 0.5 %
    >>> print(decide(replace(seen, accounts=12), rules).reason)
    insufficient evidence: 1400 posts of 12 accounts, a replace needs 200 posts of 30 accounts
    """
    if evidence.comparison is Design.FIRST:
        return _decide_first(evidence, rules)
    checks = (
        gate.check_gain(evidence, rules),
        gate.check_slices(evidence, rules),
        gate.check_promise(evidence, rules),
        gate.check_latency(evidence, rules),
        gate.check_loads(evidence),
    )
    if lacking := gate.shortage(evidence, rules):
        return Decision(Verdict.INSUFFICIENT, f"insufficient evidence: {lacking}", checks, evidence, rules)
    failed = [check.detail for check in checks if not check.passed]
    if not failed:
        return Decision(Verdict.PROMOTED, f"promoted: {checks[0].detail}", checks, evidence, rules)
    may_shadow = all(check.passed for check in checks[1:])
    reason = f"kept: {'; '.join(failed)}"
    return Decision(Verdict.KEPT, reason, checks, evidence, rules, challenger=may_shadow)


def _decide_first(evidence: Evidence, rules: GateRules) -> Decision:
    anchor, promise = gate.check_anchor(evidence, rules), gate.check_promise(evidence, rules)
    loads = gate.check_loads(evidence)
    checks = (
        anchor,
        Check("slices", None, "no champion to compare slices with"),
        promise,
        Check("latency", None, "no champion to compare latency with"),
        loads,
    )
    if not loads.passed:
        return Decision(Verdict.REFUSED, f"refused: {loads.detail}", checks, evidence, rules)
    if not anchor.passed:
        reason = f"refused, and the account anchor ships: {anchor.detail}"
        return Decision(Verdict.REFUSED, reason, checks, evidence, rules, ship_anchor=True)
    note = "" if promise.passed else f"; note that {promise.detail}"
    return Decision(Verdict.PROMOTED, f"promoted as the first: {anchor.detail}{note}", checks, evidence, rules)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
