"""`clipcast promote`: from outcomes in production to the ledger, and what it refuses on the way."""

from __future__ import annotations

import shutil
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from features.settings import Settings
from flows import cli, promoting
from flows.watching import look_as_of
from monitoring.predictions import TABLES, Role, matured, predictions
from registry import checks
from registry.database import Database
from registry.gate import Design, GateRules
from registry.ledger import Kind
from registry.places import CHALLENGER, PRODUCTION
from registry.production import read_production
from registry.rollback import rollback
from tests.monitoring_world import PLATFORM, WORLD, Watched, published, watched
from tests.service_world import Workspace

END = WORLD.end
DAY = (END - timedelta(days=1)).date()
GOOD, POOR = 0.5, 0.8  # standard deviations of the errors of the log


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Watched:
    """Version 1 in production, asked about a few posts, and version 2, which passed every check but the gain."""
    world = watched(tmp_path_factory.mktemp("promoting"))
    world.workspace.promote(rounds=9, won=False)
    world.ask(published(world.known(), END - timedelta(days=7), END).head(9))
    return world


@pytest.fixture
def world(made: Watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watched:
    """A copy of that workspace for one test, which the command works on."""
    for folder in (made.settings.home, made.settings.data):
        shutil.copytree(folder, tmp_path / folder.name)
    settings = Settings.load(home=tmp_path / made.settings.home.name, data=tmp_path / made.settings.data.name)
    copied = Watched(Workspace(settings, str(PLATFORM)))
    monkeypatch.setenv("CLIPCAST_HOME", str(settings.home))
    monkeypatch.setenv("CLIPCAST_DATA", str(settings.data))
    monkeypatch.setattr(promoting.Registry, "open", lambda _: copied.workspace.registry)
    return copied


def mature(world: Watched, role: Role, version: int, off: float, posts: int = 600) -> None:
    """Write down what came of a version's answers about posts of 60 accounts, off by so much."""
    bundles = {row.version: row.bundle_sha256 for row in world.workspace.registry.ledger.history(world.model)}
    chance = np.random.default_rng(version)
    rows = [
        {
            "model": world.model,
            "role": str(role),
            "source": "simulated",
            "post_id": f"p{number}",
            "id": f"{role}-{number}",
            "at": (END - timedelta(days=20)).timestamp(),
            "version": version,
            "semver": f"1.{version - 1}.0",
            "sha256": bundles.get(version, "f" * 64),
            "account_id": f"a{number % 60}",
            "published_s": int((END - timedelta(days=20)).timestamp()),
            "known_s": int((END - timedelta(days=12)).timestamp()) + 60 * number,
            "seen_s": int((END - timedelta(days=12)).timestamp()) + 60 * number,
            "truth": 7.0,
            "prediction": 7.0 + off * error,
            "lower": 5.0,
            "upper": 9.0,
            "score_prediction": 50.0,
            "draw": number / posts,
            "slices": '{"account": "known"}',
        }
        for number, error in enumerate(chance.normal(0, 1, posts))
    ]
    with Database(world.settings.predictions_uri, tables=TABLES).writing() as connection:
        connection.execute(sa.insert(matured), rows)


def shadowed(world: Watched, off: float, *, challenger: int = 2, posts: int = 600) -> None:
    mature(world, Role.CHAMPION, 1, POOR, posts)
    mature(world, Role.SHADOW, challenger, off, posts)


def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *asked: str) -> tuple[Any, str]:
    """Run the command line, and return its exit code with what it said on one line."""
    monkeypatch.setattr(sys, "argv", ["clipcast", *asked])
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr()
    return ended.value.code, " ".join((said.out + said.err).split())


def promote(world: Watched, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> tuple[Any, str]:
    return run(monkeypatch, capsys, "promote", world.model, "--date", str(DAY))


def state(world: Watched) -> tuple[Any, ...]:
    """Everything that a promotion changes."""
    registry = world.workspace.registry
    aliases = tuple(registry.versions.get_alias(world.model, name) for name in (PRODUCTION, CHALLENGER))
    return registry.ledger.history(), aliases, registry.production_file.read_bytes()


def sentence(world: Watched) -> str:
    look = look_as_of(world.settings, world.model, END)
    assert look is not None
    assert look.comparison is not None
    assert look.comparison.sentence in look.sentences
    return look.comparison.sentence


def test_a_challenger_better_by_its_shadow_is_promoted_and_rolled_back(
    world: Watched, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shadowed(world, GOOD)
    before = state(world)
    assert sentence(world).endswith(f"Let the gate decide: clipcast promote {world.model}")
    assert state(world) == before  # looking moves nothing
    code, said = promote(world, monkeypatch, capsys)
    assert code == 0, said
    registry = world.workspace.registry
    row = registry.ledger.champion(world.model)
    assert row is not None
    assert (row.kind, row.from_version, row.to_version, row.logical_date) == (Kind.PROMOTED, 1, 2, DAY)
    assert row.reason in said
    assert row.reason.startswith("promoted: in production, on 600 posts of 60 accounts by shadow: gain ")
    assert row.evidence["observed"]["verdict"] == "challenger better"
    assert row.evidence["observed"]["gain"] == row.evidence["evidence"]["gain"]["value"]
    assert 0.3 < row.evidence["evidence"]["gain"]["value"] < 0.45
    assert read_production(registry.production_file)[world.model].version == 2
    assert registry.versions.get_alias(world.model, PRODUCTION) == 2
    code, said = promote(world, monkeypatch, capsys)
    assert (code, "has no challenger" in said) == (1, True)
    monkeypatch.setattr(checks, "loads", lambda _: checks.Loads(True, "loaded"))  # as it did a moment ago
    assert rollback(registry, world.model, GateRules(), who="tester").to_version == 1
    assert sentence(world).endswith("enough to bring the challenger before the gate."), "which a rollback has ended"


@pytest.mark.parametrize(
    ("off", "posts", "why"),
    [
        (0.79, 600, "undecided"),
        (GOOD, 150, "150 posts of 60 accounts so far"),
        (1.6, 600, "take the challenger out and keep the champion"),
    ],
)
def test_a_challenger_not_shown_to_be_better_is_refused(
    world: Watched,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    off: float,
    posts: int,
    why: str,
) -> None:
    shadowed(world, off, posts=posts)
    before = state(world)
    assert "clipcast promote" not in sentence(world)
    code, said = promote(world, monkeypatch, capsys)
    assert (code, state(world)) == (1, before)
    assert f"{world.model}: nothing is promoted." in said
    assert why in said


def test_a_comparison_of_an_earlier_challenger_is_refused(
    world: Watched, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shadowed(world, GOOD, challenger=7)
    before = state(world)
    code, said = promote(world, monkeypatch, capsys)
    assert (code, state(world)) == (1, before)
    assert "is of challenger version 7 with champion version 1" in said


def test_nothing_to_compare_by_says_how_to_begin(
    world: Watched, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = state(world)
    code, said = promote(world, monkeypatch, capsys)
    assert (code, state(world)) == (1, before)
    assert "CLIPCAST_SERVICE__SHADOW=true" in said
    Path(world.settings.predictions_uri.removeprefix("sqlite:///")).unlink()
    code, said = promote(world, monkeypatch, capsys)
    assert (code, state(world)) == (1, before)
    assert "clipcast serve" in said


def test_a_broken_split_is_compared_by_nothing(
    world: Watched, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shadowed(world, GOOD)
    with Database(world.settings.predictions_uri, tables=TABLES).writing() as connection:
        asked = dict(connection.execute(sa.select(predictions).limit(1)).mappings().one())
        answered = {**asked, "role": "challenger", "version": 2}
        rows = [{**answered, "id": f"c{number}", "account_id": f"a{number}"} for number in range(300)]
        connection.execute(sa.insert(predictions), rows)
    monkeypatch.setenv("CLIPCAST_SERVICE__CHALLENGER_SHARE", "0.1")
    before = state(world)
    code, said = promote(world, monkeypatch, capsys)
    assert (code, state(world)) == (1, before)
    assert "The split between champion and challenger is broken" in said


def test_the_shadow_of_an_earlier_challenger_does_not_hide_the_newest(world: Watched) -> None:
    shadowed(world, GOOD)
    assert "version 2 against champion version 1 (shadow)" in sentence(world)
    mature(world, Role.CHALLENGER, 2, GOOD)
    assert "version 2 against champion version 1 (shadow)" in sentence(world)
    with Database(world.settings.predictions_uri, tables=TABLES).writing() as connection:
        connection.execute(sa.update(matured).where(matured.c.role == "challenger").values(version=3))
    assert "version 3 against champion version 1 (split)" in sentence(world)


def test_a_champion_that_no_longer_answers_is_challenged_by_nobody(world: Watched) -> None:
    shadowed(world, GOOD)
    answered_by(world, 2)
    look = look_as_of(world.settings, world.model, END)
    assert look is not None
    assert look.comparison is None


def test_another_challenger_for_a_day_does_not_hide_the_one_that_is_asked_again(world: Watched) -> None:
    shadowed(world, GOOD)
    with Database(world.settings.predictions_uri, tables=TABLES).writing() as connection:
        for_a_day = sa.and_(matured.c.role == "shadow", matured.c.post_id.in_([f"p{each}" for each in range(500, 550)]))
        connection.execute(sa.update(matured).where(for_a_day).values(version=5))
        later = matured.c.post_id.in_([f"p{each}" for each in range(550, 600)])
        connection.execute(sa.update(matured).where(later).values(at=matured.c.at + 86_400))
    assert "version 2 against champion version 1 (shadow): challenger better" in sentence(world)
    assert "on 550 posts of 60 accounts" in sentence(world)


def test_what_a_champion_showed_before_another_recipe_answered_is_not_compared(world: Watched) -> None:
    shadowed(world, GOOD)
    with Database(world.settings.predictions_uri, tables=TABLES).writing() as connection:
        between = sa.and_(matured.c.role == "champion", matured.c.post_id == "p0")
        connection.execute(sa.update(matured).where(between).values(sha256="f" * 64, at=matured.c.at + 1))
    look = look_as_of(world.settings, world.model, END)
    assert look is not None
    assert look.comparison is None


def test_a_challenger_is_compared_with_the_champion_through_its_refreshes(
    world: Watched, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shadowed(world, GOOD)
    refresh = world.workspace.promote(known=world.known(), comparison=Design.REFRESH)
    assert refresh.version == 3
    answered_by(world, 3)
    later = [f"p{number}" for number in range(300, 600)]
    with Database(world.settings.predictions_uri, tables=TABLES).writing() as connection:
        of_champion = sa.and_(matured.c.role == "champion", matured.c.post_id.in_(later))
        connection.execute(sa.update(matured).where(of_champion).values(version=3, sha256=refresh.bundle_sha256))
    assert "version 2 against champion version 3 (shadow): challenger better" in sentence(world)
    assert "on 600 posts of 60 accounts" in sentence(world)
    code, said = promote(world, monkeypatch, capsys)
    assert code == 0, said
    row = world.workspace.registry.ledger.champion(world.model)
    assert row is not None
    assert (row.from_version, row.to_version) == (3, 2)


def answered_by(world: Watched, version: int) -> None:
    """Let the log say that a version of the ledger has answered all posts."""
    [row] = [each for each in world.workspace.registry.ledger.history(world.model) if each.version == version]
    with Database(world.settings.predictions_uri, tables=TABLES).writing() as connection:
        own = {"version": version, "semver": row.semver, "sha256": row.bundle_sha256}
        connection.execute(sa.update(predictions).values(**own))


@pytest.mark.parametrize("name", ["clipcast-tiktok-virality", "tiktok", "\x1b[2J"])
def test_a_model_that_is_not_compared_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    code, said = run(monkeypatch, capsys, "promote", name)
    assert code == 1
    assert "name one of clipcast-tiktok-performance" in said
