"""A challenger that does better in production: what the gate asks of it, and that a refusal changes nothing."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from features.errors import ConflictError, NoChampionError, RegistryError
from registry import checks
from registry.decision import decide
from registry.gate import Design, Evidence, GateRules, SliceGain
from registry.ledger import Kind, Row
from registry.places import CHALLENGER, PRODUCTION, Registry
from registry.production import read_production
from registry.production_evidence import Observed, evidence_of, promote_challenger
from registry.promotion import Candidate, settle
from registry.rollback import rollback
from tests.registry_fakes import MODEL, JsonVersions, good_evidence, make_registry, use_slope, write_slope
from training.ladder import Interval

RULES = GateRules()
WORSE = Interval(0.0, -0.01, 0.01)
LOADS = checks.loads
OBSERVED = Observed(Design.SHADOW, 1, 2, 900, 60, Interval(0.08, 0.03, 0.13), {"sentence": "it is better"})


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """Version 1 in production and version 2, its challenger; what it takes to load them is not measured."""
    monkeypatch.setattr(checks, "loads", lambda _: checks.Loads(True, "loaded"))
    use_slope(monkeypatch, tmp_path)
    made = make_registry(tmp_path / "home")
    judged(made, 2.0)
    judged(made, 3.0, gain=WORSE)
    return made


def judged(registry: Registry, slope: float, **changes: Any) -> Row:
    """Register a version and settle it on evidence that passes every check, but for the changes."""
    folder = write_slope(registry.bundles_dir.parent / f"trained-{slope}", slope)
    assert isinstance(registry.versions, JsonVersions)
    version = registry.versions.add(MODEL, folder)
    made = Candidate(MODEL, f"1.{version}.0", folder, "simulated posts", version, {"r2": slope / 10})
    decision = decide(good_evidence(**changes), RULES)
    return settle(registry, made, decision, expected_head=registry.ledger.head(MODEL), who="tester")


def promote(registry: Registry, observed: Observed = OBSERVED, rules: GateRules = RULES) -> Row:
    return promote_challenger(registry, MODEL, observed, rules, who="tester")


def state(registry: Registry) -> tuple[Any, ...]:
    """Everything that a promotion changes."""
    aliases = tuple(registry.versions.get_alias(MODEL, name) for name in (PRODUCTION, CHALLENGER))
    return registry.ledger.history(), aliases, registry.production_file.read_bytes()


def refusal(registry: Registry, observed: Observed = OBSERVED, rules: GateRules = RULES) -> str:
    """Why a promotion was refused, after seeing that it changed nothing."""
    before = state(registry)
    with pytest.raises(RegistryError) as told:
        promote(registry, observed, rules)
    assert state(registry) == before
    return str(told.value)


def test_a_challenger_better_in_production_is_promoted_as_any_other_and_rolled_back(registry: Registry) -> None:
    row = promote(registry)
    assert (row.kind, row.from_version, row.to_version, row.semver) == (Kind.PROMOTED, 1, 2, "1.2.0")
    assert row.reason == (
        "promoted: in production, on 900 posts of 60 accounts by shadow: gain 8 % (3 % to 13 %), "
        "lower bound above 0.5 %"
    )
    assert row.metrics == {"r2": 0.3}
    assert not row.challenger
    assert row.evidence["observed"] == {"sentence": "it is better"}
    assert row.evidence["ledger_row"] == 2
    assert [check["passed"] for check in row.evidence["checks"]] == [True] * 5
    assert row.evidence["evidence"]["gain"] == {"value": 0.08, "low": 0.03, "high": 0.13}
    assert row.evidence["evidence"]["coverage"] == 0.81
    assert row.evidence["evidence"]["latency_ratio"] != 1.1  # measured again, not taken from the holdout
    serving = read_production(registry.production_file)[MODEL]
    assert (serving.version, serving.sha256, serving.challenger) == (2, row.bundle_sha256, None)
    assert registry.versions.get_alias(MODEL, PRODUCTION) == 2
    assert registry.versions.get_alias(MODEL, CHALLENGER) is None
    assert rollback(registry, MODEL, RULES, who="tester").to_version == 1
    assert registry.versions.get_alias(MODEL, PRODUCTION) == 1


def test_a_second_promotion_on_the_same_evidence_is_refused(registry: Registry) -> None:
    promote(registry)
    assert f"{MODEL} has no challenger: since the recipe of version 2" in refusal(registry)
    rollback(registry, MODEL, RULES, who="tester")
    assert "clipcast run weekly --platform youtube" in refusal(registry)


@pytest.mark.parametrize(
    ("changes", "rules", "why"),
    [
        ({"gain": Interval(0.03, 0.004, 0.06)}, RULES, "gain 3 % (0.4 % to 6 %), lower bound not above 0.5 %"),
        ({"posts": 150}, RULES, "insufficient evidence: 150 posts of 60 accounts, a gain in production needs 200"),
        ({}, replace(RULES, coverage=0.95), "intervals cover 81 %, outside of 95 %"),
        ({}, replace(RULES, latency_ratio=0.0), "times the champion's median latency, at most 0 allowed"),
    ],
)
def test_what_fails_a_check_is_refused(registry: Registry, changes: dict[str, Any], rules: GateRules, why: str) -> None:
    assert why in refusal(registry, replace(OBSERVED, **changes), rules)


def test_slices_are_those_of_the_holdout(registry: Registry) -> None:
    worse = SliceGain("followers: 1k to 10k", 150, 30, Interval(-0.2, -0.3, -0.1))
    judged(registry, 4.0, gain=WORSE, slices=(worse,))
    fewer = replace(RULES, slice_min_posts=200)
    assert decide(good_evidence(gain=WORSE, slices=(worse,)), fewer).challenger
    registry.ledger.append(challenger_row(registry, slices=(worse,)), 1)
    found = refusal(registry, replace(OBSERVED, challenger_version=3))
    assert "upper bound below -2 % on followers: 1k to 10k" in found


def challenger_row(registry: Registry, **changes: Any) -> Any:
    """A row of version 3 as a gate with other rules for slices would have written it."""
    from registry.ledger import Entry

    earlier = registry.ledger.history(MODEL)[-1]
    kept = {name: getattr(earlier, name) for name in ("model", "kind", "who", "reason", "data_source", "version")}
    decision = decide(good_evidence(gain=WORSE, **changes), replace(RULES, slice_min_posts=200))
    more = {"semver": earlier.semver, "bundle_sha256": earlier.bundle_sha256, "evidence": decision.to_dict()}
    return Entry(**kept, **more, challenger=True)


def test_a_refresh_of_the_champion_kept_or_promoted_leaves_the_challenger(registry: Registry) -> None:
    judged(registry, 4.0, comparison=Design.REFRESH, gain=Interval(-0.1, -0.2, 0.0))
    assert registry.versions.get_alias(MODEL, CHALLENGER) == 2
    assert judged(registry, 5.0, comparison=Design.REFRESH).to_version == 4
    assert registry.versions.get_alias(MODEL, CHALLENGER) == 2
    equal = replace(OBSERVED, champion_version=4, gain=Interval(0.0, -0.01, 0.01))
    assert "lower bound not above 0.5 %" in refusal(registry, equal)
    assert promote(registry, replace(OBSERVED, champion_version=4)).to_version == 2


@pytest.mark.parametrize("changes", [{"champion_version": 3}, {"challenger_version": 3}])
def test_a_pair_that_the_ledger_does_not_name_is_refused(registry: Registry, changes: dict[str, int]) -> None:
    found = refusal(registry, replace(OBSERVED, **changes))
    assert "the ledger names challenger version 2 and champion version 1 now" in found
    assert "clipcast monitor" in found


def test_a_bundle_that_no_fresh_process_can_serve_is_refused(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "loads", LOADS)
    with (tmp_path / "shadow" / "training" / "task.py").open("a") as room:
        room.write("Slope.predict = lambda self, posts: posts.select('post_id', prediction='followers')\n")
    assert "does not reproduce its example" in refusal(registry)


def test_a_champion_that_cannot_be_loaded_is_no_yardstick(registry: Registry) -> None:
    assert isinstance(registry.versions, JsonVersions)
    shutil.rmtree(registry.bundles_dir / read_production(registry.production_file)[MODEL].sha256)
    registry.versions.delete(MODEL, 1)
    assert "the latency beside the champion was not measured" in refusal(registry)


def test_a_challenger_that_was_deleted_is_refused(registry: Registry) -> None:
    assert isinstance(registry.versions, JsonVersions)
    registry.versions.delete(MODEL, 2)
    assert "the challenger, was deleted" in refusal(registry)


def test_a_champion_promoted_meanwhile_stays(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    measure = checks.serving

    def meanwhile(*asked: Any) -> checks.Serving:
        judged(registry, 4.0)
        return measure(*asked)

    monkeypatch.setattr(checks, "serving", meanwhile)
    with pytest.raises(ConflictError, match="the head moved from version 1 to 3"):
        promote(registry)
    assert registry.ledger.head(MODEL) == registry.versions.get_alias(MODEL, PRODUCTION) == 3


def test_without_a_champion_nothing_is_promoted(tmp_path: Path) -> None:
    with pytest.raises(NoChampionError, match="nothing is challenged"):
        promote(make_registry(tmp_path / "empty"))


def test_evidence_is_read_back_as_it_was_decided_on(registry: Registry) -> None:
    unknown = Interval(math.nan, math.nan, math.nan)
    seen = good_evidence(gain=WORSE, slices=(SliceGain("new accounts", 12, 9, unknown),), holdout_uses=3)
    row = judged(registry, 4.0, gain=WORSE, slices=seen.slices, holdout_uses=3)
    read = evidence_of(row)
    assert isinstance(read, Evidence)
    assert repr(read) == repr(seen)  # in which what is unknown equals itself


def test_a_row_without_evidence_is_told(registry: Registry) -> None:
    row = replace(registry.ledger.history(MODEL)[1], evidence=json.loads('{"evidence": {"comparison": "guess"}}'))
    with pytest.raises(RegistryError, match="holds no evidence about version 2 that this clipcast can read"):
        evidence_of(row)
