"""Bring alias, bundles and `production.json` back in line with the ledger, after a crash or other hands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from features.errors import BundleError, RegistryError
from registry.ledger import MOVES, Book, Entry, Kind, Row
from registry.places import CHALLENGER, CHOICE, PRODUCTION, Registry
from registry.production import Production, read_production


@dataclass
class Reconciliation:
    """What was found out of line: mended, or in need of a person's choice. Each is a sentence."""

    mended: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def reconcile(registry: Registry, who: str) -> Reconciliation:
    """Make every place follow the ledger; running it twice changes nothing more.

    What an interrupted promotion left is put in order without a trace in the ledger. What somebody else moved
    is put back and gets a row, so that the ledger also tells when it was not obeyed.
    """
    found = Reconciliation()
    serving = _read_production(registry, found)
    with registry.ledger.writing() as book:
        for model in sorted({*book.models(), *book.models_intended()}):
            champion = book.champion(model)
            if champion is None:
                _undo_first(registry, book, model, found)
                book.forget_stale(model)
                continue
            _restore_bundle(registry, champion, found)
            strays = _mend_production_alias(registry, book, champion, found)
            strays += _stray_entry(book, champion, serving)
            book.forget_stale(model)
            if strays:
                book.append(_row_about(champion, strays, who), champion.version)
                found.mended += strays
            mend_challenger_alias(registry, book, model)
    if registry.write_production_file():
        found.mended.append(f"{registry.production_file} did not follow the ledger, and was written anew")
    return found


def mend_challenger_alias(registry: Registry, book: Book, model: str) -> None:
    """Let the alias `challenger` name the newest candidate that may shadow the champion, or nothing."""
    wanted = book.challenger(model)
    named = registry.versions.get_alias(model, CHALLENGER)
    if wanted is None or wanted.version is None or not registry.holds(wanted):
        if named is not None:
            registry.versions.delete_alias(model, CHALLENGER)
    elif named != wanted.version:
        registry.versions.set_alias(model, CHALLENGER, wanted.version)


def _read_production(registry: Registry, found: Reconciliation) -> Mapping[str, Production]:
    try:
        return read_production(registry.production_file)
    except RegistryError as error:
        found.mended.append(str(error))
        return {}


def _undo_first(registry: Registry, book: Book, model: str, found: Reconciliation) -> None:
    """Take back the alias of a first promotion that did not reach the ledger."""
    named = registry.versions.get_alias(model, PRODUCTION)
    if named in book.intended(model):
        registry.versions.delete_alias(model, PRODUCTION)
        book.forget(model, int(named or 0))
        found.mended.append(f"{model}: the first promotion, of version {named}, was interrupted and is undone")


def _restore_bundle(registry: Registry, champion: Row, found: Reconciliation) -> None:
    try:
        registry.bundle_of(champion)
    except (BundleError, RegistryError) as error:
        found.problems.append(str(error))


def _mend_production_alias(registry: Registry, book: Book, champion: Row, found: Reconciliation) -> list[str]:
    """Set the alias to the champion; answer what somebody else had done to it."""
    model, head = champion.model, int(champion.version or 0)
    named = registry.versions.get_alias(model, PRODUCTION)
    is_held = registry.holds(champion)
    if not is_held:
        found.problems.append(
            f"{model}: version {head} is in production, but was deleted from the registry or replaced "
            f"there, or lost its files; clipcast predict goes on with its published bundle; {CHOICE}"
        )
        if named is None:
            return []
        registry.versions.delete_alias(model, PRODUCTION)
    elif named == head:
        return []
    else:
        registry.versions.set_alias(model, PRODUCTION, head)
    if named in book.intended(model):
        book.forget(model, int(named or 0))
        found.mended.append(f"{model}: the promotion of version {named} was interrupted and is undone")
        return []
    moved = "was deleted" if named is None else f"was moved to version {named}"
    moved = "named a version that is not the champion's" if named == head else moved
    now = f"names version {head} again" if is_held else "names nothing now"
    return [f"{model}: the alias {PRODUCTION} {moved} without the ledger, and {now}"]


def _stray_entry(book: Book, champion: Row, serving: Mapping[str, Production]) -> list[str]:
    """Whether the production file names what the ledger never promoted; an earlier champion is only late."""
    entry = serving.get(champion.model)
    past = {(row.version, row.bundle_sha256) for row in book.history(champion.model) if row.kind in MOVES}
    if entry is None or (entry.version, entry.sha256) in past:
        return []
    named = f"version {entry.version} with the bundle {entry.sha256}"
    return [f"{champion.model}: the production file named {named}, which the ledger never promoted"]


def _row_about(champion: Row, strays: list[str], who: str) -> Entry:
    return Entry(
        model=champion.model,
        kind=Kind.RECONCILED,
        who=who,
        reason="; ".join(strays),
        data_source=champion.data_source,
        version=champion.version,
        semver=champion.semver,
        bundle_sha256=champion.bundle_sha256,
    )
