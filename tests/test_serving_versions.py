"""Whichever version is in production serves; what cannot serve never takes the place of what can."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path

import pytest

from registry.bundle import publish
from registry.production import Production, write_production
from serving import versions as module
from serving.versions import Deployed, Versions
from tests.registry_fakes import MODEL, use_slope, write_slope


class Place:
    """A workspace as serving sees it: published bundles and a production file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bundles = folder / "bundles"
        self.file = folder / "production.json"

    def publish(self, slope: float) -> str:
        folder = publish(write_slope(self.folder / f"slope{slope}", slope), self.bundles)
        return folder.name

    def promote(self, sha256: str, version: int = 1, challenger: str | None = None) -> None:
        other = None if challenger is None else Production(9, "9.0.0", challenger, "2026-11-01T00:00:00+00:00")
        champion = Production(version, f"{version}.0.0", sha256, "2026-11-01T00:00:00+00:00", other)
        write_production(self.file, {MODEL: champion})

    def versions(self, models: tuple[str, ...] | None = None) -> Versions:
        return Versions(self.file, self.bundles, self.folder / "serving", models)

    def damage(self, sha256: str) -> None:
        (self.bundles / sha256 / "slope.txt").write_text("9999")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    use_slope(monkeypatch, tmp_path)
    return Place(tmp_path)


def serving(deployed: Deployed) -> dict[str, float]:
    return {name: version.model.slope for name, version in deployed.champions.items()}


def test_nothing_serves_before_anything_is_promoted(place: Place) -> None:
    deployed = place.versions().refresh()
    assert (serving(deployed), deployed.problems) == ({}, {})


def test_a_promotion_and_a_rollback_are_followed_at_the_next_look(place: Place) -> None:
    versions, first, second = place.versions(), place.publish(2.0), place.publish(3.0)
    for sha256, slope in ((first, 2.0), (second, 3.0), (first, 2.0)):
        place.promote(sha256)
        assert serving(versions.refresh()) == {MODEL: slope}


def test_a_version_is_opened_once_however_often_one_looks(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    versions = place.versions()
    place.promote(place.publish(2.0))
    before = versions.refresh().champions[MODEL].loaded
    monkeypatch.setattr(module, "load", None)
    assert versions.refresh().champions[MODEL].loaded is before


def test_a_damaged_version_is_refused_and_the_one_before_goes_on(place: Place) -> None:
    versions, first, second = place.versions(), place.publish(2.0), place.publish(3.0)
    place.promote(first, 1)
    versions.refresh()
    place.damage(second)
    place.promote(second, 2)
    deployed = versions.refresh()
    assert serving(deployed) == {MODEL: 2.0}
    assert deployed.champions[MODEL].production.semver == "1.0.0"
    assert "slope.txt was altered" in deployed.problems[MODEL]
    assert deployed.problems[MODEL].endswith("; 1.0.0 goes on")


def test_a_refused_version_is_tried_again_later_and_then_serves(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    versions, sha256 = place.versions(), place.publish(2.0)
    shutil.move(place.bundles / sha256, place.folder / "away")
    place.promote(sha256)
    assert serving(versions.refresh()) == {}
    shutil.move(place.folder / "away", place.bundles / sha256)
    assert serving(versions.refresh()) == {}
    monkeypatch.setattr(module, "RETRY_S", 0.0)
    versions._refused.clear()
    deployed = versions.refresh()
    assert (serving(deployed), deployed.problems) == ({MODEL: 2.0}, {})


def test_a_version_that_does_not_predict_its_own_example_is_refused(place: Place) -> None:
    folder = write_slope(place.folder / "wrong", 5.0)
    described = json.loads((folder / "bundle.json").read_text())
    described["example"]["expected"][0]["prediction"] += 1
    (folder / "bundle.json").write_text(json.dumps(described, sort_keys=True, ensure_ascii=False, indent=1) + "\n")
    place.promote(publish(folder, place.bundles).name)
    deployed = place.versions().refresh()
    assert serving(deployed) == {}
    assert "does not reproduce its stored example" in deployed.problems[MODEL]


def test_a_version_that_breaks_when_it_is_tried_is_refused_and_others_serve(place: Place) -> None:
    def break_down(_: object) -> None:
        raise ZeroDivisionError("nobody foresaw this")

    place.promote(place.publish(2.0))
    deployed = Versions(place.file, place.bundles, place.folder / "serving", None, break_down).refresh()
    assert serving(deployed) == {}
    assert deployed.problems[MODEL] == "1.0.0 was refused: ZeroDivisionError: nobody foresaw this"


@pytest.mark.parametrize("loss", ["file gone", "file broken", "bundle gone", "bundle damaged"])
def test_a_restart_without_the_registry_serves_the_last_good_copy_and_says_so(place: Place, loss: str) -> None:
    sha256 = place.publish(2.0)
    place.promote(sha256)
    place.versions().refresh()
    match loss:
        case "file gone":
            place.file.unlink()
        case "file broken":
            place.file.write_text("{")
        case "bundle gone":
            shutil.rmtree(place.bundles)
        case _:
            place.damage(sha256)
    versions = place.versions()
    for _ in range(3):
        deployed = versions.refresh()
        assert serving(deployed) == {MODEL: 2.0}
        assert len(deployed.problems) == 1
        assert str(place.folder) not in str(deployed.problems)


def test_a_copy_is_doubted_until_what_was_published_is_whole_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha256 = place.publish(2.0)
    place.promote(sha256)
    place.versions().refresh()
    shutil.move(place.bundles, place.folder / "away")
    monkeypatch.setattr(module, "RETRY_S", 0.0)
    versions = place.versions()
    for _ in range(2):
        assert "last good copy" in versions.refresh().problems[MODEL]
    shutil.move(place.folder / "away", place.bundles)
    assert versions.refresh().problems == {}


def test_a_copy_that_could_not_be_kept_is_told_and_tried_again(place: Place) -> None:
    place.promote(place.publish(2.0))
    (place.folder / "serving").write_text("in the way")
    versions = place.versions()
    for _ in range(2):
        deployed = versions.refresh()
        assert (serving(deployed), list(deployed.problems)) == ({MODEL: 2.0}, ["copies"])
    (place.folder / "serving").unlink()
    assert versions.refresh().problems == {}
    assert (place.folder / "serving" / "last_good.json").exists()


def test_a_restart_with_a_new_version_that_cannot_be_opened_serves_the_last_good_one(place: Place) -> None:
    first, second = place.publish(2.0), place.publish(3.0)
    place.promote(first, 1)
    place.versions().refresh()
    place.damage(second)
    place.promote(second, 2)
    deployed = place.versions().refresh()
    assert serving(deployed) == {MODEL: 2.0}
    assert deployed.champions[MODEL].production.semver == "1.0.0"
    assert deployed.problems[MODEL].endswith("; 1.0.0 goes on")


def test_a_tampered_copy_is_not_served_either(place: Place) -> None:
    sha256 = place.publish(2.0)
    place.promote(sha256)
    place.versions().refresh()
    place.damage(sha256)
    (place.folder / "serving" / sha256 / "slope.txt").write_text("1")
    deployed = place.versions().refresh()
    assert serving(deployed) == {}
    assert "was altered" in deployed.problems[MODEL]


def test_copies_are_kept_of_what_serves_and_of_nothing_else(place: Place) -> None:
    versions, first, second = place.versions(), place.publish(2.0), place.publish(3.0)
    for sha256 in (first, second):
        place.promote(sha256)
        versions.refresh()
    assert {path.name for path in (place.folder / "serving").iterdir()} == {second, "last_good.json"}


def test_a_challenger_that_cannot_be_opened_leaves_the_champion_alone(place: Place) -> None:
    first, second = place.publish(2.0), place.publish(3.0)
    place.promote(first, challenger=second)
    versions = place.versions()
    assert versions.refresh().challengers[MODEL].model.slope == 3.0
    place.damage(second)
    deployed = place.versions().refresh()
    assert (serving(deployed), dict(deployed.challengers)) == ({MODEL: 2.0}, {})
    assert list(deployed.problems) == [f"{MODEL} challenger"]


def test_a_challenger_is_opened_only_where_it_is_asked_for(place: Place) -> None:
    place.promote(place.publish(2.0), challenger=place.publish(3.0))
    deployed = Versions(place.file, place.bundles, place.folder / "serving", challengers=False).refresh()
    assert (serving(deployed), dict(deployed.challengers)) == ({MODEL: 2.0}, {})


def test_only_the_models_asked_for_are_served_and_one_that_is_missing_is_named(place: Place) -> None:
    place.promote(place.publish(2.0))
    assert serving(place.versions((MODEL,)).refresh()) == {MODEL: 2.0}
    deployed = place.versions(("clipcast-tiktok-performance",)).refresh()
    assert serving(deployed) == {}
    assert "nothing is in production" in deployed.problems["clipcast-tiktok-performance"]


@pytest.mark.soak
def test_who_reads_while_versions_change_sees_one_or_the_other_whole(place: Place) -> None:
    versions, shas = place.versions(), [place.publish(2.0), place.publish(3.0)]
    place.promote(shas[0])
    versions.refresh()
    over, seen = threading.Event(), set()

    def read() -> None:
        while not over.is_set():
            version = versions.deployed.champions[MODEL]
            seen.add((version.sha256, version.model.slope, version.production.sha256))

    reader = threading.Thread(target=read)
    reader.start()
    for turn in range(20):
        place.promote(shas[turn % 2])
        versions.refresh()
    over.set()
    reader.join()
    assert seen <= {(shas[0], 2.0, shas[0]), (shas[1], 3.0, shas[1])}
