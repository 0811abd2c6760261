"""Promotion is all or nothing: at every moment the ledger is the truth, and everything else follows it."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from features.errors import BundleError, ClipcastError, ConflictError, NoChampionError, RegistryError
from registry import promotion
from registry.bundle import is_intact, open_bundle, publish
from registry.decision import decide
from registry.gate import GateRules
from registry.ledger import Book, Kind, Ledger, Row
from registry.places import CHALLENGER, PRODUCTION, Registry
from registry.production import read_production
from registry.promotion import Candidate, settle
from registry.reconciliation import reconcile
from registry.rollback import rollback
from tests.registry_fakes import MODEL, JsonVersions, good_evidence, make_registry, use_slope, write_slope
from training.evaluate import Interval

RULES = GateRules()
WORSE = Interval(0.0, -0.01, 0.01)


@pytest.fixture
def registry(tmp_path: Path, database_uri: str) -> Registry:
    return make_registry(tmp_path / "home", database_uri)


def versions_of(registry: Registry) -> JsonVersions:
    assert isinstance(registry.versions, JsonVersions)
    return registry.versions


def candidate(registry: Registry, slope: float) -> Candidate:
    """A registered version whose model forecasts `slope` a second."""
    folder = registry.bundles_dir.parent / f"trained-{slope}"
    if not folder.exists():
        write_slope(folder, slope)
    version = versions_of(registry).add(MODEL, folder)
    return Candidate(MODEL, f"1.{version}.0", folder, "simulated posts", version, {"r2": 0.5})


def judge(registry: Registry, made: Candidate, **changes: Any) -> Row:
    """Settle a candidate that passes every check, but for the changes."""
    options = {name: changes.pop(name) for name in ("expected_head", "run_key") if name in changes}
    options.setdefault("expected_head", registry.ledger.head(MODEL))
    return settle(registry, made, decide(good_evidence(**changes), RULES), who="tester", **options)


def promote(registry: Registry, slope: float = 2.0) -> Candidate:
    made = candidate(registry, slope)
    judge(registry, made)
    return made


def assert_all_places_name(registry: Registry, version: int | None) -> None:
    """Ledger, alias, production file and published bundle agree."""
    assert registry.ledger.head(MODEL) == version
    assert registry.versions.get_alias(MODEL, PRODUCTION) == version
    serving = read_production(registry.production_file)
    if version is None:
        assert serving == {}
        return
    assert serving[MODEL].version == version
    assert is_intact(registry.bundles_dir / serving[MODEL].sha256, serving[MODEL].sha256)


def test_a_promoted_version_is_named_everywhere(registry: Registry) -> None:
    made = promote(registry)
    assert_all_places_name(registry, 1)
    row = registry.ledger.champion(MODEL)
    assert row is not None
    assert (row.kind, row.from_version, row.to_version) == (Kind.PROMOTED, None, 1)
    assert row.bundle_sha256 == open_bundle(made.folder).sha256
    assert row.evidence["verdict"] == "promoted"
    assert read_production(registry.production_file)[MODEL].since == row.at.isoformat()


def test_a_kept_champion_stays_and_its_challenger_is_named(registry: Registry) -> None:
    promote(registry)
    judge(registry, candidate(registry, 3.0), gain=WORSE)
    assert_all_places_name(registry, 1)
    assert registry.versions.get_alias(MODEL, CHALLENGER) == 2
    shadow = read_production(registry.production_file)[MODEL].challenger
    assert shadow is not None
    assert shadow.version == 2
    assert is_intact(registry.bundles_dir / shadow.sha256, shadow.sha256)


def test_a_candidate_that_failed_another_check_is_no_challenger(registry: Registry) -> None:
    promote(registry)
    judge(registry, candidate(registry, 3.0), gain=WORSE, latency_ratio=9.0)
    assert registry.versions.get_alias(MODEL, CHALLENGER) is None
    assert read_production(registry.production_file)[MODEL].challenger is None
    assert len(list(registry.bundles_dir.iterdir())) == 1


def test_a_new_champion_leaves_no_older_challenger(registry: Registry) -> None:
    promote(registry)
    judge(registry, candidate(registry, 3.0), gain=WORSE)
    promote(registry, 4.0)
    assert_all_places_name(registry, 3)
    assert registry.versions.get_alias(MODEL, CHALLENGER) is None


def test_insufficient_evidence_changes_nothing_but_is_remembered(registry: Registry) -> None:
    promote(registry)
    row = judge(registry, candidate(registry, 3.0), posts=20)
    assert row.kind is Kind.INSUFFICIENT
    assert_all_places_name(registry, 1)
    assert registry.versions.get_alias(MODEL, CHALLENGER) is None


def test_a_decision_against_an_old_champion_is_refused_and_changes_nothing(registry: Registry) -> None:
    promote(registry)
    promote(registry, 3.0)
    with pytest.raises(ConflictError, match="from version 1 to 2"):
        judge(registry, candidate(registry, 4.0), expected_head=1)
    assert_all_places_name(registry, 2)
    assert len(registry.ledger.history(MODEL)) == 2
    assert reconcile(registry, "tester").mended == []


def test_a_run_that_is_repeated_writes_its_decision_once(registry: Registry) -> None:
    made = candidate(registry, 2.0)
    first = judge(registry, made, run_key="weekly")
    again = judge(registry, replace(made, version=1), run_key="weekly", expected_head=None)
    assert again == first
    assert len(registry.ledger.history(MODEL)) == 1


def test_a_bundle_that_changed_after_the_decision_is_refused(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, other = candidate(registry, 2.0), candidate(registry, 3.0)

    def publish_another(_: Path, bundles_dir: Path) -> Path:
        return publish(other.folder, bundles_dir)

    monkeypatch.setattr(promotion, "publish", publish_another)
    with pytest.raises(BundleError, match="the decision was about"):
        judge(registry, made)
    assert_all_places_name(registry, None)


def break_at(monkeypatch: pytest.MonkeyPatch, step: str, stop: Callable[[], None]) -> None:
    """Let a promotion end just before `step`."""
    targets: dict[str, tuple[Any, str]] = {
        "publish": (promotion, "publish"),
        "alias": (JsonVersions, "set_alias"),
        "commit": (promotion, "mend_challenger_alias"),
        "file": (Registry, "write_production_file"),
    }
    owner, name = targets[step]
    real = getattr(owner, name)
    calls = iter([True] if step == "file" else [])

    def ending(*arguments: Any) -> Any:
        return real(*arguments) if next(calls, False) else stop()

    monkeypatch.setattr(owner, name, ending)


def fail() -> None:
    raise RuntimeError("interrupted")


def kill() -> None:
    os._exit(9)


def promote_until(home: Path, step: str, slope: float) -> None:
    """In a process of its own: promote, and die at a step."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        break_at(monkeypatch, step, kill)
        promote(make_registry(home), slope)


STEPS = {"publish": 1, "alias": 1, "commit": 1, "file": 2}


@pytest.mark.parametrize("killed", [False, True], ids=["error", "kill"])
@pytest.mark.parametrize(("step", "head"), STEPS.items())
def test_an_interrupted_promotion_is_undone_or_completed(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, step: str, head: int, killed: bool
) -> None:
    promote(registry)
    interrupt(registry, monkeypatch, step, killed)
    found = reconcile(registry, "tester")
    assert found.problems == []
    assert_all_places_name(registry, head)
    assert {row.kind for row in registry.ledger.history(MODEL)} == {Kind.PROMOTED}, "nobody meddled"
    assert reconcile(registry, "tester").mended == [], "once is enough"


@pytest.mark.parametrize(("step", "head"), STEPS.items())
def test_the_next_promotion_finds_everything_in_order(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, step: str, head: int
) -> None:
    promote(registry)
    interrupt(registry, monkeypatch, step, killed=False)
    promote(registry, 5.0)
    assert_all_places_name(registry, 3)
    rows = registry.ledger.history(MODEL)
    assert [row.to_version for row in rows] == ([1, 3] if head == 1 else [1, 2, 3])
    assert [row.from_version for row in rows[1:]] == [row.to_version for row in rows[:-1]]


@pytest.mark.parametrize(("step", "head"), STEPS.items())
def test_an_interrupted_first_promotion_leaves_nothing_in_production(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, step: str, head: int
) -> None:
    interrupt(registry, monkeypatch, step, killed=False)
    assert reconcile(registry, "tester").problems == []
    assert_all_places_name(registry, None if head == 1 else 1)


def interrupt(registry: Registry, monkeypatch: pytest.MonkeyPatch, step: str, killed: bool) -> None:
    home = registry.bundles_dir.parent
    if killed:
        child = multiprocessing.get_context("spawn").Process(target=promote_until, args=(home, step, 3.0))
        child.start()
        child.join(30)
        assert child.exitcode == 9
        return
    with monkeypatch.context() as context:
        break_at(context, step, fail)
        with pytest.raises(RuntimeError, match="interrupted"):
            promote(registry, 3.0)


def test_an_alias_that_somebody_moved_goes_back_and_leaves_a_row(registry: Registry) -> None:
    promote(registry)
    promote(registry, 3.0)
    registry.versions.set_alias(MODEL, PRODUCTION, 1)
    found = reconcile(registry, "tester")
    assert "was moved to version 1 without the ledger" in found.mended[0]
    assert_all_places_name(registry, 2)
    row = registry.ledger.history(MODEL)[-1]
    assert (row.kind, row.from_version, row.to_version, row.who) == (Kind.RECONCILED, 2, 2, "tester")


def test_an_intention_that_grew_old_excuses_nobody(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    promote(registry)
    interrupt(registry, monkeypatch, "publish", killed=True)
    reconcile(registry, "tester")
    with registry.ledger.reading() as book:
        assert book.intended(MODEL) == {2}, "it may still be under way in another process"
    monkeypatch.setattr("registry.database.SILENCE_S", 0)
    reconcile(registry, "tester")
    registry.versions.set_alias(MODEL, PRODUCTION, 2)
    assert "was moved to version 2 without the ledger" in reconcile(registry, "tester").mended[0]
    assert registry.ledger.history(MODEL)[-1].kind is Kind.RECONCILED


@pytest.mark.parametrize(("step", "intended"), [("publish", set()), ("commit", {2})])
def test_what_failed_before_the_alias_moved_is_intended_no_more(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, step: str, intended: set[int]
) -> None:
    promote(registry)
    interrupt(registry, monkeypatch, step, killed=False)
    with registry.ledger.reading() as book:
        assert book.intended(MODEL) == intended


def test_a_second_version_under_the_same_semantic_version_is_refused(registry: Registry) -> None:
    promote(registry)
    first, second = candidate(registry, 3.0), candidate(registry, 4.0)
    judge(registry, first, gain=WORSE, run_key="weekly")
    rows = registry.ledger.history(MODEL)
    with pytest.raises(
        ConflictError, match=r"version 2 was decided on as 1\.2\.0 while version 3 .* start the run again"
    ):
        judge(registry, replace(second, semver=first.semver), run_key="daily")
    assert registry.ledger.history(MODEL) == rows
    assert_all_places_name(registry, 1)
    with registry.ledger.reading() as book:
        assert book.intended(MODEL) == set()


def test_two_machines_at_one_run_write_its_decision_once(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """One was taken for dead while it slept, and wakes up when the other has just written."""
    promote(registry)
    made = candidate(registry, 3.0)
    calls, real, others = count(), Ledger.writing, list[Row]()

    def beside(ledger: Ledger) -> AbstractContextManager[Book]:
        if next(calls) == 1:  # the first was for `reconcile`
            others.append(judge(make_registry(registry.bundles_dir.parent), made, run_key="k", gain=WORSE))
        return real(ledger)

    monkeypatch.setattr(Ledger, "writing", beside)
    assert [judge(registry, made, run_key="k", gain=WORSE)] == others
    assert len(registry.ledger.history(MODEL)) == 2


def test_an_alias_that_somebody_deleted_comes_back(registry: Registry) -> None:
    promote(registry)
    registry.versions.delete_alias(MODEL, PRODUCTION)
    assert "was deleted without the ledger" in reconcile(registry, "tester").mended[0]
    assert_all_places_name(registry, 1)


def test_a_deleted_champion_is_a_problem_with_its_choices_and_goes_on_serving(registry: Registry) -> None:
    promote(registry)
    versions_of(registry).delete(MODEL, 1)
    found = reconcile(registry, "tester")
    assert "clipcast rollback" in found.problems[0]
    assert "clipcast run weekly" in found.problems[0]
    assert MODEL in read_production(registry.production_file)
    promote(registry, 3.0)
    assert_all_places_name(registry, 2)


@pytest.mark.parametrize("damage", ["removed", "altered"])
def test_a_published_bundle_that_was_lost_is_fetched_again(registry: Registry, damage: str) -> None:
    promote(registry)
    folder = registry.bundles_dir / read_production(registry.production_file)[MODEL].sha256
    if damage == "removed":
        shutil.rmtree(folder)
    else:
        (folder / "slope.txt").write_text("9")
    assert reconcile(registry, "tester").problems == []
    assert_all_places_name(registry, 1)


def test_a_bundle_lost_with_its_version_is_a_problem_with_its_choices(registry: Registry) -> None:
    promote(registry)
    shutil.rmtree(registry.bundles_dir)
    versions_of(registry).delete(MODEL, 1)
    problems = reconcile(registry, "tester").problems
    assert any("is lost" in problem and "clipcast rollback" in problem for problem in problems)


def test_a_lost_production_file_is_written_anew_without_a_row(registry: Registry) -> None:
    promote(registry)
    registry.production_file.unlink()
    assert len(reconcile(registry, "tester").mended) == 1
    assert_all_places_name(registry, 1)
    assert len(registry.ledger.history(MODEL)) == 1


def test_a_broken_production_file_is_written_anew(registry: Registry) -> None:
    promote(registry)
    registry.production_file.write_text("{")
    reconcile(registry, "tester")
    assert_all_places_name(registry, 1)


def test_a_production_file_edited_by_hand_is_noticed(registry: Registry) -> None:
    promote(registry)
    text = registry.production_file.read_text().replace('"version": 1', '"version": 77')
    registry.production_file.write_text(text)
    assert "named version 77" in reconcile(registry, "tester").mended[0]
    assert_all_places_name(registry, 1)
    assert registry.ledger.history(MODEL)[-1].kind is Kind.RECONCILED


def test_reconciling_an_empty_registry_or_one_in_order_does_nothing(registry: Registry) -> None:
    assert reconcile(registry, "tester").mended == []
    promote(registry)
    before = registry.production_file.stat()
    found = reconcile(registry, "tester")
    assert (found.mended, found.problems) == ([], [])
    assert registry.production_file.stat().st_ino == before.st_ino


def test_rollback_goes_one_back_and_twice_goes_two_back(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_slope(monkeypatch, tmp_path)
    for slope in (2.0, 3.0, 4.0):
        promote(registry, slope)
    row = rollback(registry, MODEL, RULES, who="tester", reason="too bold")
    assert_all_places_name(registry, 2)
    assert (row.kind, row.from_version, row.to_version, row.semver) == (Kind.ROLLED_BACK, 3, 2, "1.2.0")
    assert row.reason == "rolled back from version 3: too bold"
    assert [check["name"] for check in row.evidence["checks"]] == ["latency", "loads"]
    rollback(registry, MODEL, RULES, who="tester")
    assert_all_places_name(registry, 1)
    rollback(registry, MODEL, RULES, who="tester", to_version=3)
    assert_all_places_name(registry, 3)
    with pytest.raises(RegistryError, match="earlier champions: 1, 2"):
        rollback(registry, MODEL, RULES, who="tester", to_version=9)


def test_rollback_needs_something_to_go_back_from_and_to(registry: Registry) -> None:
    with pytest.raises(NoChampionError, match="no production version"):
        rollback(registry, MODEL, RULES, who="tester")
    promote(registry)
    with pytest.raises(RegistryError, match="earlier champions: none"):
        rollback(registry, MODEL, RULES, who="tester")


def test_rollback_to_a_version_that_cannot_serve_is_refused(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_slope(monkeypatch, tmp_path)
    shadow = tmp_path / "shadow" / "training" / "task.py"
    promote(registry)
    promote(registry, 3.0)
    with shadow.open("a") as room:
        room.write("Slope.predict = lambda self, posts: posts.select('post_id', prediction='followers')\n")
    with pytest.raises(RegistryError, match=r"stays at version 2: .* does not reproduce"):
        rollback(registry, MODEL, RULES, who="tester")
    assert_all_places_name(registry, 2)


def test_rollback_away_from_a_champion_that_is_broken_works(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_slope(monkeypatch, tmp_path)
    promote(registry)
    promote(registry, 3.0)
    shutil.rmtree(registry.bundles_dir / read_production(registry.production_file)[MODEL].sha256)
    versions_of(registry).delete(MODEL, 2)
    row = rollback(registry, MODEL, RULES, who="tester")
    assert_all_places_name(registry, 1)
    assert row.evidence["checks"][0]["passed"] is None


def test_of_two_promotions_at_once_one_wins_and_the_other_is_told(registry: Registry) -> None:
    promote(registry)
    rivals = [candidate(registry, 3.0), candidate(registry, 4.0)]
    start = threading.Barrier(2)
    won: list[int | None] = []
    told: list[str] = []

    def run(made: Candidate) -> None:
        start.wait()
        try:
            won.append(judge(registry, made, expected_head=1).to_version)
        except ConflictError as error:
            told.append(str(error))

    threads = [threading.Thread(target=run, args=(made,)) for made in rivals]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    [winner] = won
    assert [f"from version 1 to {winner}" in message for message in told] == [True]
    assert_all_places_name(registry, winner)
    assert reconcile(registry, "tester").mended == []


def test_errors_of_the_registry_are_clipcasts_own() -> None:
    assert issubclass(ConflictError, RegistryError)
    assert issubclass(RegistryError, ClipcastError)
