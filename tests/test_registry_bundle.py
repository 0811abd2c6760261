"""A bundle is what it says, or it is refused by name."""

from __future__ import annotations

import json
import pickle
import threading
import zipfile
from pathlib import Path

import pytest

from features.errors import BundleError, RegistryError
from registry.bundle import BUNDLE_FILE, is_intact, open_bundle, publish, write_atomically, write_bundle
from registry.production import Production, read_production, write_production
from tests.registry_fakes import write_slope


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_slope(tmp_path / "model")


def test_an_opened_bundle_tells_its_files_and_description(folder: Path) -> None:
    bundle = open_bundle(folder)
    assert bundle.files == ("notes/read.json", "slope.txt")
    assert bundle.meta["family"] == "slope"


def test_the_same_content_has_the_same_sha256_and_another_byte_has_another(tmp_path: Path) -> None:
    first, same, other = (
        open_bundle(write_slope(tmp_path / name, slope)).sha256 for name, slope in (("a", 2), ("b", 2), ("c", 3))
    )
    assert first == same != other


def test_writing_again_over_an_existing_description_changes_nothing(folder: Path) -> None:
    bundle = open_bundle(folder)
    meta = {key: value for key, value in bundle.meta.items() if key != "files"}
    assert write_bundle(folder, meta) == bundle.sha256


@pytest.mark.parametrize("name", ["slope.txt", "notes/read.json"])
def test_a_changed_byte_is_refused_with_the_file_named(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    content[0] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(BundleError, match=name):
        open_bundle(folder)


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "slope.txt").unlink()
    with pytest.raises(BundleError, match=r"missing slope\.txt"):
        open_bundle(folder)


def test_a_file_that_nobody_listed_is_named(folder: Path) -> None:
    (folder / "notes" / "extra.txt").touch()
    with pytest.raises(BundleError, match=r"notes/extra\.txt does not belong"):
        open_bundle(folder)


def test_another_bundle_than_asked_for_is_refused(folder: Path, tmp_path: Path) -> None:
    other = open_bundle(write_slope(tmp_path / "other", 5))
    with pytest.raises(BundleError, match=f"expected {other.sha256}"):
        open_bundle(folder, other.sha256)


def test_a_description_that_agrees_with_a_swapped_file_does_not_agree_with_the_sha256(folder: Path) -> None:
    sha256 = open_bundle(folder).sha256
    meta = {key: value for key, value in open_bundle(folder).meta.items() if key != "files"}
    (folder / "slope.txt").write_text("7")
    write_bundle(folder, meta)
    with pytest.raises(BundleError, match=BUNDLE_FILE):
        open_bundle(folder, sha256)


@pytest.mark.parametrize("content", [b"", b"not json", b"[]", b'{"files": []}', b'{"files": {"a": 1}}', b"\xff"])
def test_a_broken_description_is_a_clear_error(folder: Path, content: bytes) -> None:
    (folder / BUNDLE_FILE).write_bytes(content)
    with pytest.raises(BundleError, match=BUNDLE_FILE):
        open_bundle(folder)


def test_a_folder_that_is_not_there_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="No such file"):
        open_bundle(tmp_path / "nowhere")


def test_a_link_out_of_the_bundle_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").touch()
    (folder / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(BundleError, match="plain file"):
        open_bundle(folder)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_pickle_under_an_innocent_name_is_refused(folder: Path, protocol: int) -> None:
    (folder / "weights.json").write_bytes(pickle.dumps([1.0], protocol=protocol))
    with pytest.raises(BundleError, match=r"weights\.json is a pickle"):
        write_bundle(folder, {})


@pytest.mark.parametrize("name", ["m.pkl", "m.PICKLE", "m.joblib", "m.pt"])
def test_a_file_named_like_a_pickle_is_refused(folder: Path, name: str) -> None:
    (folder / name).touch()
    with pytest.raises(BundleError, match="is a pickle"):
        write_bundle(folder, {})


def test_a_zip_with_a_pickle_inside_is_refused(folder: Path) -> None:
    with zipfile.ZipFile(folder / "weights.bin", "w") as archive:
        archive.writestr("archive/data.pkl", b"")
    with pytest.raises(BundleError, match="is a pickle"):
        write_bundle(folder, {})


def test_a_bundle_that_somebody_made_with_a_pickle_is_not_opened(folder: Path) -> None:
    (folder / "slope.txt").write_bytes(pickle.dumps(1))
    meta = json.loads((folder / BUNDLE_FILE).read_text())
    (folder / BUNDLE_FILE).write_text(json.dumps(meta))
    with pytest.raises(BundleError, match="is a pickle"):
        open_bundle(folder)


def test_numbers_that_are_not_finite_have_no_place_in_a_description(folder: Path) -> None:
    with pytest.raises(BundleError, match="finite"):
        write_bundle(folder, {"metric": float("nan")})


def test_publishing_twice_gives_one_folder_named_by_its_content(folder: Path, tmp_path: Path) -> None:
    bundles = tmp_path / "bundles"
    published = publish(folder, bundles)
    assert publish(folder, bundles) == published
    assert published.name == open_bundle(folder).sha256
    assert [path.name for path in bundles.iterdir()] == [published.name]


def test_a_damaged_published_bundle_is_moved_aside_and_replaced(folder: Path, tmp_path: Path) -> None:
    published = publish(folder, tmp_path / "bundles")
    (published / "slope.txt").write_text("666")
    publish(folder, tmp_path / "bundles")
    assert is_intact(published, published.name)
    assert [path for path in published.parent.iterdir() if path.name.startswith(".damaged-")]


def test_many_publishers_at_once_agree(folder: Path, tmp_path: Path) -> None:
    threads = [threading.Thread(target=publish, args=(folder, tmp_path / "bundles")) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sha256 = open_bundle(folder).sha256
    assert [path.name for path in (tmp_path / "bundles").iterdir()] == [sha256]
    assert is_intact(tmp_path / "bundles" / sha256, sha256)


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def fail(_: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="no space"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_production_file_gives_back_what_was_written(tmp_path: Path) -> None:
    shadow = Production(4, "1.3.0", "b" * 64, "2026-03-02T00:00:00+00:00")
    champions = {"one": Production(3, "1.2.0", "a" * 64, "2026-03-01T00:00:00+00:00", shadow)}
    assert write_production(tmp_path / "production.json", champions)
    assert read_production(tmp_path / "production.json") == champions
    assert not write_production(tmp_path / "production.json", champions), "nothing changed, so nothing is written"


def test_no_production_file_means_no_champions(tmp_path: Path) -> None:
    assert read_production(tmp_path / "production.json") == {}


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"format": 2, "models": {}}', '{"format": 1, "models": {"m": {"version": 1}}}', "\x00",
     '{"format": 1, "models": {"m": {"version": "1", "semver": "1", "sha256": "", "since": ""}}}',
     '{"format": 1, "models": {"m": {"version": 1, "semver": "1", "sha256": "", "since": "", "x": 1}}}'],
)  # fmt: skip
def test_a_broken_production_file_is_a_clear_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "production.json").write_text(content)
    with pytest.raises(RegistryError, match=r"production\.json"):
        read_production(tmp_path / "production.json")
