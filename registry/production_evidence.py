"""Promote a challenger for what production showed of it, by that gain and the other checks of its holdout."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, NamedTuple

from features.errors import NoChampionError, RegistryError
from registry import checks
from registry.decision import decide
from registry.gate import Design, Evidence, GateRules, SliceGain
from registry.ledger import Row
from registry.places import Registry
from registry.promotion import Candidate, settle
from training.ladder import Interval


@dataclass(frozen=True)
class Observed:
    """What production showed of a challenger beside the champion, on posts that have matured.

    `gain` is a share of the champion's mean error of the log, with ends that hold however often it was looked at;
    `told` is the whole comparison as plain JSON, for the ledger.
    """

    comparison: Design
    champion_version: int
    challenger_version: int
    posts: int
    accounts: int
    gain: Interval
    told: Mapping[str, Any] = field(default_factory=dict)


class Pair(NamedTuple):
    """The champion's and the challenger's rows in the ledger."""

    champion: Row
    challenger: Row


def pair_of(registry: Registry, model: str) -> Pair:
    """Read champion and challenger from the ledger, as it names them now.

    Raises
    ------
    NoChampionError
        Nothing is in production.
    RegistryError
        No candidate of another recipe has passed every check but the gain since the champion's recipe came.
    """
    with registry.ledger.reading() as book:
        champion, challenger = book.champion(model), book.challenger(model)
    if champion is None:
        raise NoChampionError(f"{model} has no production version, so nothing is challenged; see clipcast status")
    if challenger is None:
        raise RegistryError(
            f"{model} has no challenger: since the recipe of version {champion.version} came into production no "
            f"candidate of another one passed every check but the gain; train one: {_train(model)}"
        )
    return Pair(champion, challenger)


def promote_challenger(
    registry: Registry,
    model: str,
    observed: Observed,
    rules: GateRules,
    *,
    who: str,
    logical_date: date | None = None,
) -> Row:
    """Let the gate decide about the challenger by what production showed, and move it there if the gate says so.

    Checks 2 and 3 judge what was measured on the challenger's holdout; checks 4 and 5 run again. A challenger that is
    refused leaves no row: its own row already says that it was kept out.

    Raises
    ------
    RegistryError
        The ledger names another pair now, the challenger is gone, or it failed a check; nothing was changed.
    ConflictError
        Another version became champion meanwhile; nothing was changed.
    """
    champion, challenger = pair = pair_of(registry, model)
    _refuse_other_pair(pair, observed)
    if not registry.holds(challenger):
        raise RegistryError(
            f"{model} stays at version {champion.version}: version {challenger.version}, the challenger, was deleted "
            f"from the registry or replaced there; train another: {_train(model)}"
        )
    bundle = registry.bundle_of(challenger)
    serving = checks.serving(registry, champion, bundle)
    evidence = replace(
        evidence_of(challenger),
        comparison=observed.comparison,
        posts=observed.posts,
        accounts=observed.accounts,
        gain=observed.gain,
        loads=serving.loads.passed,
        loads_detail="" if serving.loads.passed else serving.loads.detail,
        latency_ratio=serving.latency_ratio,
    )
    decision = decide(evidence, rules)
    if not decision.promote:
        raise RegistryError(
            f"{model} stays at version {champion.version}, the challenger, version {challenger.version}, is not "
            f"promoted: {decision.reason}; wait for more posts, or train another: {_train(model)}"
        )
    return settle(
        registry,
        Candidate(
            model,
            str(challenger.semver),
            bundle.folder,
            challenger.data_source,
            challenger.version,
            challenger.metrics,
        ),
        decision,
        expected_head=champion.version,
        who=who,
        logical_date=logical_date,
        details={"observed": dict(observed.told), "ledger_row": challenger.id},
    )


def evidence_of(row: Row) -> Evidence:
    """Read the evidence on which a candidate was decided back from its row of the ledger.

    Raises
    ------
    RegistryError
        The row holds none, or not as this clipcast writes it.
    """
    try:
        plain = dict(row.evidence["evidence"])
        return Evidence(
            **{
                **plain,
                "comparison": Design(plain["comparison"]),
                "gain": _interval(plain["gain"]),
                "anchor_gain": _interval(plain["anchor_gain"]),
                "slices": tuple(SliceGain(**{**each, "gain": _known(each["gain"])}) for each in plain["slices"]),
            }
        )
    except (KeyError, TypeError, ValueError) as error:
        raise RegistryError(
            f"{row.model}: row {row.id} of the ledger holds no evidence about version {row.version} that this clipcast "
            f"can read ({error!r}); train another challenger: {_train(row.model)}"
        ) from error


def _refuse_other_pair(pair: Pair, observed: Observed) -> None:
    champion, challenger = pair
    if (champion.version, challenger.version) == (observed.champion_version, observed.challenger_version):
        return
    raise RegistryError(
        f"{champion.model} stays at version {champion.version}: the comparison is of challenger version "
        f"{observed.challenger_version} with champion version {observed.champion_version}, and the ledger names "
        f"challenger version {challenger.version} and champion version {champion.version} now; look again once "
        "these two have answered, and posts that both forecast have matured: clipcast monitor"
    )


def _interval(plain: Mapping[str, float | None] | None) -> Interval | None:
    return None if plain is None else _known(plain)


def _known(plain: Mapping[str, float | None]) -> Interval:
    """Read an interval in which JSON has no word for what is unknown."""
    return Interval(**{name: math.nan if value is None else value for name, value in plain.items()})


def _train(model: str) -> str:
    return f"clipcast run weekly --platform {model.split('-')[1]}"
