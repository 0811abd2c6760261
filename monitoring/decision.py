"""What to do about what monitoring found: a pure decision that explains itself."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from monitoring.alerts import Kind


class Action(StrEnum):
    """What is asked for, the most urgent last; none of them promotes anything."""

    NONE = "none"
    EVALUATE = "evaluate"  # a person judges the recipe on the newest posts
    RETRAIN = "retrain"  # the platform's weekly run, whose challenger has to win at the gate
    REPAIR = "repair"  # a person mends what feeds the model; a retraining would learn from it, or change nothing


@dataclass(frozen=True)
class Decision:
    """An action with its reason, a sentence each."""

    action: Action
    reason: str
    next_step: str


_REPAIRED = (Kind.BROKEN, Kind.SKEW, Kind.SPLIT, Kind.REDEFINED)
_EVALUATED = (Kind.DRIFT, Kind.BIAS, Kind.COVERAGE, Kind.CALIBRATION)


def should_retrain(kinds: Collection[Kind], platform: str) -> Decision:
    """Decide by the kinds of alerts that are open for a platform's model.

    Decay asks for a retraining, drift only for an evaluation: inputs may change without any harm, and a model that
    still keeps its promises needs no other. Where inputs arrive broken, that comes first, since the error that they
    cause is not the model's.

    >>> should_retrain([Kind.DRIFT], "tiktok").action, should_retrain([Kind.DRIFT, Kind.DECAY], "tiktok").action
    (<Action.EVALUATE: 'evaluate'>, <Action.RETRAIN: 'retrain'>)
    >>> should_retrain([Kind.DECAY, Kind.BROKEN], "tiktok").action
    <Action.REPAIR: 'repair'>
    """
    backtest = f"clipcast backtest --platform {platform}"
    if broken := [kind for kind in _REPAIRED if kind in kinds]:
        later = "; the error that has risen too may come of that" if Kind.DECAY in kinds else ""
        return Decision(
            Action.REPAIR,
            f"{_listed(broken)}: what reaches the model, or its count, is not what it was trained on{later}",
            "find out what changed and mend it, then look again: clipcast monitor",
        )
    if Kind.DECAY in kinds:
        return Decision(
            Action.RETRAIN,
            "decay: outcomes have moved further from the forecasts than the version's holdout promised",
            f"clipcast run weekly --platform {platform}",
        )
    if changed := [kind for kind in _EVALUATED if kind in kinds]:
        virality = f", and fit probabilities anew: clipcast run weekly --platform {platform}"
        return Decision(
            Action.EVALUATE,
            f"{_listed(changed)}, but the error is not shown to have risen",
            f"judge the recipe on the newest posts: {backtest}{virality if Kind.CALIBRATION in kinds else ''}",
        )
    return Decision(Action.NONE, "nothing found speaks against the version in production", "nothing to do")


def _listed(kinds: Collection[Kind]) -> str:
    return " and ".join(str(kind) for kind in kinds)
