"""Go back to an earlier champion, after checking that it can still serve."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from features.errors import NoChampionError, RegistryError
from registry import checks, gate
from registry.bundle import Bundle
from registry.gate import Check, Design, Evidence, GateRules
from registry.ledger import MOVES, Entry, Kind, Row
from registry.places import Registry
from registry.promotion import record
from registry.reconciliation import reconcile


def rollback(
    registry: Registry,
    model: str,
    rules: GateRules,
    *,
    who: str,
    to_version: int | None = None,
    reason: str | None = None,
) -> Row:
    """Put an earlier champion back into production: the one before, or the version asked for.

    Checks 4 and 5 run on it first. A champion that cannot be loaded is what one rolls back from, so latency
    is then not compared.

    Raises
    ------
    NoChampionError
        Nothing is in production.
    RegistryError
        There is no such earlier champion, or it failed a check.
    """
    reconcile(registry, who)
    with registry.ledger.reading() as book:
        champion, history = book.champion(model), book.history(model)
    if champion is None:
        raise NoChampionError(f"{model} has no production version to roll back from; see clipcast status")
    target = _choose(champion, history, to_version)
    if not registry.holds(target):
        raise RegistryError(
            f"{model} stays at version {champion.version}: version {target.version} was deleted from the registry or "
            "replaced there; go back to another version with --to, or train a new one: clipcast run weekly"
        )
    bundle = registry.bundle_of(target)
    measured = _check(registry, champion, bundle, rules)
    failed = [check.detail for check in measured if check.passed is False]
    if failed:
        raise RegistryError(
            f"{model} stays at version {champion.version}: {'; '.join(failed)} (version {target.version}); "
            "go back to another version with --to"
        )
    why = f"rolled back from version {champion.version}" + ("" if reason is None else f": {reason}")
    return record(registry, _entry(target, measured, who, why), bundle.folder, expected_head=champion.version)


def _choose(champion: Row, history: tuple[Row, ...], to_version: int | None) -> Row:
    """The latest row that brought the wanted version into production."""
    moves = [row for row in history if row.kind in MOVES]
    earlier = sorted({row.version for row in moves if row.version is not None} - {champion.version or 0})
    wanted = to_version if to_version is not None else _before(champion, moves)
    if wanted not in earlier:
        choice = ", ".join(map(str, earlier)) or "none"
        asked = "an earlier version" if wanted is None else f"version {wanted}"
        raise RegistryError(f"{champion.model} cannot go back to {asked}; earlier champions: {choice}")
    return next(row for row in reversed(moves) if row.version == wanted)


def _before(champion: Row, moves: list[Row]) -> int | None:
    """The champion that this one replaced when it was promoted, so that rolling back twice goes two back."""
    promoted = [row for row in moves if row.kind is Kind.PROMOTED and row.version == champion.version]
    return promoted[-1].from_version if promoted else champion.from_version


def _check(registry: Registry, champion: Row, target: Bundle, rules: GateRules) -> tuple[Check, Check]:
    """Checks 4 and 5, with the version to go back to as the challenger."""
    found = checks.serving(registry, champion, target)
    if not found.loads.passed:
        return Check("latency", None, "not measured"), Check("loads", False, found.loads.detail)
    seen = Evidence(Design.REPLACE, posts=0, accounts=0, loads=True, latency_ratio=found.latency_ratio)
    return gate.check_latency(seen, rules), gate.check_loads(seen)


def _entry(target: Row, measured: tuple[Check, ...], who: str, reason: str) -> Entry:
    evidence: dict[str, Any] = {"checks": [asdict(check) for check in measured], "ledger_row": target.id}
    return Entry(
        model=target.model,
        kind=Kind.ROLLED_BACK,
        who=who,
        reason=reason,
        data_source=target.data_source,
        version=target.version,
        semver=target.semver,
        bundle_sha256=target.bundle_sha256,
        evidence=evidence,
        metrics=target.metrics,
    )
