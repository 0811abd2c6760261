"""What a look found of the challenger, as evidence for the gate; whatever is none is refused with the next step."""

from __future__ import annotations

from dataclasses import asdict

from features.errors import ClipcastError, NotEnoughDataError
from monitoring.alerts import Kind
from monitoring.look import Look
from registry.production_evidence import Observed
from training.ladder import Interval


def observed_in(look: Look) -> Observed:
    """Take the comparison out of a look whose verdict is that the challenger is better.

    Raises
    ------
    NotEnoughDataError
        No post that both could be compared by has matured, or too few.
    ClipcastError
        The traffic split is broken, or the verdict is another.
    """
    model, found = look.model, look.comparison
    if broken := next((each for each in look.findings if each.kind is Kind.SPLIT), None):
        raise ClipcastError(f"{model}: nothing is promoted. {broken.sentence}")
    if found is None:
        raise NotEnoughDataError(
            f"{model}: no post by which the challenger can be compared has matured; let it forecast beside the "
            "champion (CLIPCAST_SERVICE__SHADOW=true) or for a share of the accounts "
            "(CLIPCAST_SERVICE__CHALLENGER_SHARE=0.1), restart clipcast serve, and look again in some days: "
            "clipcast monitor"
        )
    if found.verdict == "undecided":
        raise NotEnoughDataError(f"{model}: nothing is promoted. {found.sentence}")
    if found.verdict != "challenger better":
        raise ClipcastError(f"{model}: nothing is promoted. {found.sentence}")
    return Observed(
        found.design,
        found.champion_version,
        found.challenger_version,
        found.posts,
        found.accounts,
        Interval(found.gain, found.lower, found.upper),
        asdict(found),
    )
