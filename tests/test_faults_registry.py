"""What somebody else does to the registry behind clipcast's back, through MLflow's own API, and to its files."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import load_model, save_model
from mlflow.tracking import MlflowClient

from features.errors import BundleError, ClipcastError, RegistryError
from features.safety import NO_PICKLES
from registry.bundle import BUNDLE_FILE, is_intact, open_bundle
from registry.database import Database
from registry.decision import decide
from registry.gate import GateRules
from registry.ledger import Kind, Ledger, Row
from registry.loading import load
from registry.places import PRODUCTION, Registry
from registry.production import read_production
from registry.promotion import Candidate, settle
from registry.reconciliation import Reconciliation, reconcile
from registry.rollback import rollback
from registry.tracking import Tracking
from tests.registry_fakes import good_evidence, use_slope, write_slope

RULES = GateRules()
PLATFORM = "clipcast-youtube"
_numbers = count(1)


@dataclass(frozen=True)
class World:
    """A model of its own in a real MLflow store, and a workspace of its own around it."""

    home: Path
    tracking: Tracking
    name: str = field(default_factory=lambda: f"{PLATFORM}-story{next(_numbers)}")

    @property
    def client(self) -> MlflowClient:
        """What anybody has who can reach the store."""
        return MlflowClient(self.tracking.uri, registry_uri=self.tracking.uri)

    @property
    def registry(self) -> Registry:
        ledger = Ledger(Database(f"sqlite:///{self.home}/ledger.db"))
        return Registry(ledger, self.tracking, self.home / "bundles", self.home / "production.json")

    def promote(self, slope: float) -> Row:
        """Train, register and promote a version whose model forecasts `slope` a second."""
        registry = self.registry
        folder = write_slope(self.home / f"trained-{slope}", slope)
        run_id = self.tracking.log_run(PLATFORM, f"{self.name} {slope}", {}, {}, {})
        above = registry.ledger.numbers(self.name).version
        version = self.tracking.register(self.name, folder, run_id, {}, "", above=above)
        made = Candidate(self.name, f"1.{version}.0", folder, "simulated posts", version)
        head = registry.ledger.head(self.name)
        return settle(registry, made, decide(good_evidence(), RULES), expected_head=head, who="tester")

    def reconcile(self) -> Reconciliation:
        return reconcile(self.registry, "tester")

    def published(self) -> Path:
        """The bundle that serves."""
        return self.home / "bundles" / read_production(self.home / "production.json")[self.name].sha256

    def registered(self, version: int) -> Path:
        """The files of a version in MLflow's own folder."""
        source = self.client.get_model_version(self.name, str(version)).source
        return Path(source.removeprefix("file://"))

    def serves(self, slope: float) -> bool:
        """Whether the published bundle is whole and that of this slope."""
        return (
            is_intact(self.published(), self.published().name)
            and json.loads((self.published() / "slope.txt").read_text()) == slope
        )


@pytest.fixture(scope="module")
def tracking(tmp_path_factory: pytest.TempPathFactory) -> Tracking:
    home = tmp_path_factory.mktemp("shared")
    return Tracking(f"sqlite:///{home}/mlflow.db", (home / "artifacts").as_uri(), home / "locks")


@pytest.fixture
def world(tracking: Tracking, tmp_path: Path) -> World:
    return World(tmp_path, tracking)


@pytest.fixture
def pair(world: World) -> World:
    """Two promotions, so that version 2 serves."""
    world.promote(2.0)
    world.promote(3.0)
    return world


def move_alias(world: World) -> None:
    world.client.set_registered_model_alias(world.name, PRODUCTION, "1")


def delete_alias(world: World) -> None:
    world.client.delete_registered_model_alias(world.name, PRODUCTION)


def delete_version(world: World) -> None:
    world.client.delete_model_version(world.name, "2")


def delete_model(world: World) -> None:
    world.client.delete_registered_model(world.name)


@pytest.mark.parametrize("meddle", [move_alias, delete_alias])
def test_an_alias_moved_or_deleted_by_others_is_put_back_from_the_ledger(
    pair: World, meddle: Callable[[World], None]
) -> None:
    meddle(pair)
    found = pair.reconcile()
    assert found.problems == []
    assert "without the ledger, and names version 2 again" in found.mended[0]
    assert pair.tracking.get_alias(pair.name, PRODUCTION) == 2
    assert pair.registry.ledger.history(pair.name)[-1].kind is Kind.RECONCILED
    assert pair.reconcile().mended == []


@pytest.mark.parametrize("meddle", [delete_version, delete_model])
def test_a_champion_deleted_by_others_is_told_with_its_choices_and_goes_on_serving(
    pair: World, meddle: Callable[[World], None]
) -> None:
    meddle(pair)
    [problem] = pair.reconcile().problems
    for word in (pair.name, "version 2", "clipcast rollback", "clipcast run weekly"):
        assert word in problem
    assert pair.serves(3.0)
    assert pair.registry.ledger.head(pair.name) == 2


@pytest.mark.parametrize("meddle", [delete_version, delete_model])
def test_the_next_promotion_after_a_deletion_never_reuses_a_number_that_the_ledger_knows(
    pair: World, meddle: Callable[[World], None]
) -> None:
    """MLflow counts a deleted model's versions from 1 again; the ledger's 1 and 2 must stay what they were."""
    meddle(pair)
    made = pair.promote(4.0).to_version
    assert made is not None
    assert made > 2
    assert pair.tracking.get_alias(pair.name, PRODUCTION) == made
    assert [row.to_version for row in pair.registry.ledger.history(pair.name)] == [1, 2, made]
    assert pair.reconcile() == Reconciliation()


@pytest.fixture
def server(tracking: Tracking, tmp_path: Path) -> Iterator[str]:
    """The address of MLflow's server, on the same store."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        address = ("127.0.0.1", found.getsockname()[1])
    options = ["--host", address[0], "--port", str(address[1]), "--workers", "1", "--no-serve-artifacts"]
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", tracking.uri, *options]
    with (tmp_path / "server.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, cwd=tmp_path)
    try:
        deadline = time.monotonic() + 120
        while True:
            with contextlib.suppress(OSError), socket.create_connection(address, 5):
                break
            assert process.poll() is None, (tmp_path / "server.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.2)
        yield f"http://{address[0]}:{address[1]}"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


@pytest.mark.soak
def test_the_same_through_mlflows_server_which_wants_to_know_whose_files_they_are(server: str, tmp_path: Path) -> None:
    world = World(tmp_path, Tracking(server, (tmp_path / "artifacts").as_uri(), tmp_path / "locks"))
    world.promote(2.0)
    world.promote(3.0)
    assert world.reconcile() == Reconciliation()
    delete_model(world)
    assert world.promote(4.0).to_version == 3
    assert world.reconcile() == Reconciliation()


def test_a_model_made_anew_by_others_under_the_same_number_is_not_taken_for_the_champion(pair: World) -> None:
    delete_model(pair)
    pair.client.create_registered_model(pair.name)
    for _ in range(2):
        pair.client.create_model_version(pair.name, pair.home.as_uri())
    pair.client.set_registered_model_alias(pair.name, PRODUCTION, "2")
    found = pair.reconcile()
    assert "was deleted from the registry or replaced there" in found.problems[0]
    assert "names nothing now" in found.mended[0]
    assert pair.tracking.get_alias(pair.name, PRODUCTION) is None
    assert pair.serves(3.0)


def test_a_copied_tag_makes_no_version_the_champion(pair: World) -> None:
    """Everybody who reads the registry knows the number, the tags and the alias; the files they must have too."""
    sha256 = str(pair.registry.ledger.history(pair.name)[-1].bundle_sha256)
    theirs = pair.home / "stranger"
    write_slope(theirs / "artifacts" / "bundle", 9.0)
    delete_model(pair)
    pair.client.create_registered_model(pair.name)
    put_in(pair, theirs, sha256)
    assert put_in(pair, theirs, sha256) == 2
    found = pair.reconcile()
    assert "was deleted from the registry or replaced there" in found.problems[0]
    assert "named a version that is not the champion's without the ledger, and names nothing now" in found.mended[0]
    assert pair.tracking.get_alias(pair.name, PRODUCTION) is None
    assert pair.serves(3.0)


def test_a_version_whose_files_cannot_be_asked_for_is_named(pair: World) -> None:
    delete_version(pair)
    delete_model(pair)
    pair.client.create_registered_model(pair.name)
    tags = {"bundle_sha256": str(pair.registry.ledger.history(pair.name)[-1].bundle_sha256)}
    for _ in range(2):
        pair.client.create_model_version(pair.name, "s3://nobody-has-this/model", tags=tags)
    with pytest.raises(RegistryError, match=f"files of version 2 of {pair.name} cannot be read: .*; check the store"):
        pair.reconcile()


def test_a_version_that_others_made_in_a_run_of_ours_is_not_taken_for_ours(world: World) -> None:
    run_id = world.tracking.log_run(PLATFORM, "weekly", {}, {}, {})
    bundle = write_slope(world.home / "trained", 2.0)
    world.client.create_registered_model(world.name)
    forged = {"bundle_sha256": open_bundle(bundle).sha256}
    world.client.create_model_version(world.name, world.home.as_uri(), run_id, tags=forged)
    assert world.tracking.register(world.name, bundle, run_id, {}, "") == 2


def test_going_back_to_a_version_that_others_deleted_is_refused_with_the_choice(
    pair: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_slope(monkeypatch, pair.home)
    pair.client.delete_model_version(pair.name, "1")
    with pytest.raises(RegistryError, match=r"stays at version 2: version 1 was deleted .* --to, or train"):
        rollback(pair.registry, pair.name, RULES, who="tester")
    assert pair.tracking.get_alias(pair.name, PRODUCTION) == 2


def test_a_champion_deleted_by_others_can_be_left_by_going_back(pair: World, monkeypatch: pytest.MonkeyPatch) -> None:
    use_slope(monkeypatch, pair.home)
    delete_version(pair)
    assert rollback(pair.registry, pair.name, RULES, who="tester").to_version == 1
    assert pair.tracking.get_alias(pair.name, PRODUCTION) == 1
    assert pair.reconcile() == Reconciliation()


def test_artifacts_deleted_under_a_registered_version_are_a_clear_error(pair: World) -> None:
    shutil.rmtree(pair.registered(2))
    [problem] = pair.reconcile().problems
    assert f"{pair.name}: version 2 is in production" in problem
    assert "or lost its files" in problem
    assert "clipcast rollback" in problem
    assert pair.serves(3.0)
    shutil.rmtree(pair.published())
    lost, _ = pair.reconcile().problems
    assert f"{pair.name} version 2 is lost" in lost
    assert "clipcast rollback" in lost


def alter(bundle: Path) -> str:
    content = bytearray((bundle / "slope.txt").read_bytes())
    content[0] ^= 1
    (bundle / "slope.txt").write_bytes(content)
    return r"slope\.txt was altered"


def swap(bundle: Path) -> str:
    one, other = bundle / "notes" / "read.json", bundle / "slope.txt"
    kept = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(kept)
    return r"(read\.json|slope\.txt) was altered"


def swap_description(bundle: Path) -> str:
    """A whole and consistent bundle, but another one."""
    shutil.rmtree(bundle)
    write_slope(bundle, 9.0)
    return rf"{BUNDLE_FILE} has the sha256 \w+, expected"


def remove(bundle: Path) -> str:
    (bundle / "slope.txt").unlink()
    return r"missing slope\.txt"


def remove_description(bundle: Path) -> str:
    (bundle / BUNDLE_FILE).unlink()
    return rf"{BUNDLE_FILE} cannot be read"


def add(bundle: Path) -> str:
    (bundle / "notes" / "surprise.py").touch()
    return r"notes/surprise\.py does not belong"


def link_out(bundle: Path) -> str:
    """The same content, but lying where somebody else can change it later."""
    outside = bundle.parent / "outside.txt"
    outside.write_bytes((bundle / "slope.txt").read_bytes())
    (bundle / "slope.txt").unlink()
    (bundle / "slope.txt").symlink_to(outside)
    return r"slope\.txt is not a plain file"


def link_folder_out(bundle: Path) -> str:
    (bundle / "notes").rename(bundle.parent / "outside")
    (bundle / "notes").symlink_to(bundle.parent / "outside")
    return r"notes is not a plain file"


DAMAGES = [alter, swap, swap_description, remove, remove_description, add, link_out, link_folder_out]


@pytest.fixture(scope="module")
def untouched(tracking: Tracking, tmp_path_factory: pytest.TempPathFactory) -> World:
    """A promoted version that tests may damage a copy of."""
    world = World(tmp_path_factory.mktemp("untouched"), tracking)
    world.promote(2.0)
    return world


@pytest.fixture
def promoted(untouched: World, tmp_path: Path) -> Iterator[World]:
    """The promoted version, whole again after the test."""
    places = (untouched.registered(1), untouched.published().parent)
    for number, place in enumerate(places):
        shutil.copytree(place, tmp_path / f"kept-{number}")
    yield untouched
    for number, place in enumerate(places):
        shutil.rmtree(place)
        shutil.copytree(tmp_path / f"kept-{number}", place)
    untouched.reconcile()


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_tampered_bundle_is_refused_by_name_wherever_it_is_loaded(
    promoted: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[Path], str]
) -> None:
    """By the loader, by the fresh process of the gate, and by what `mlflow models serve` loads."""
    from registry.checks import main

    use_slope(monkeypatch, tmp_path)
    published = promoted.published()
    load(published, published.name)
    message = damage(promoted.registered(1) / "artifacts" / "bundle")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", promoted.tracking.uri)
    with pytest.raises(BundleError, match=message):
        load_model(f"models:/{promoted.name}@{PRODUCTION}")
    damage(published)
    with pytest.raises(BundleError, match=message):
        load(published, published.name)
    assert main(str(published), published.name) == 1
    problems = promoted.reconcile().problems
    if damage in (link_out, link_folder_out):
        assert problems == [], "what a link leads to is fetched as a file, and has the right hash"
        assert promoted.serves(2.0)
    else:
        assert "clipcast rollback" in problems[0], "nothing whole is left to restore from"


@pytest.mark.parametrize("damage", [alter, remove, link_out])
def test_a_tampered_published_bundle_is_restored_from_the_registry_and_kept_aside(
    promoted: World, damage: Callable[[Path], str]
) -> None:
    damage(promoted.published())
    assert promoted.reconcile().problems == []
    assert promoted.serves(2.0)
    assert len(list(promoted.published().parent.glob(".damaged-*"))) == 1


class Trap:
    """Whoever unpickles one of these makes a file."""

    def __init__(self, sprung: Path) -> None:
        self.sprung = sprung

    def __reduce__(self) -> tuple[Any, tuple[str, str]]:
        return open, (str(self.sprung), "w")


def pickled(world: World, sprung: Path, as_file: str) -> Path:
    """A model as MLflow keeps it by custom, whose pickle is a trap."""
    import pandas as pd
    from mlflow.pyfunc import PythonModel

    class Stranger(PythonModel):  # type: ignore[misc]
        def predict(self, context: Any, model_input: pd.DataFrame) -> Any:  # noqa: ARG002  MLflow's names
            return model_input

    folder = world.home / "stranger"
    save_model(folder, python_model=Stranger(), pip_requirements=[])
    trap = pickle.dumps(Trap(sprung))
    (folder / "python_model.pkl").write_bytes(trap)
    bundle = folder / "artifacts" / "bundle"
    bundle.mkdir(parents=True)
    (bundle / as_file).write_bytes(trap)
    return folder


def put_in(world: World, source: Path, sha256: str) -> int:
    """Register a stranger's version with the tags of ours, and give it the alias."""
    made = world.client.create_model_version(world.name, source.as_uri(), tags={"bundle_sha256": sha256})
    world.client.set_registered_model_alias(world.name, PRODUCTION, made.version)
    return int(made.version)


def test_the_trap_is_one(tmp_path: Path) -> None:
    trap = pickle.dumps(Trap(tmp_path / "sprung"))
    pickle.loads(trap).close()  # noqa: S301  so that the other tests mean something
    assert (tmp_path / "sprung").exists()


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("as_file", ["slope.txt", "model.pkl", BUNDLE_FILE])
def test_a_pickle_put_into_the_registry_and_into_production_is_never_opened(
    world: World, monkeypatch: pytest.MonkeyPatch, as_file: str
) -> None:
    """Not even with our tags, our number, and nothing left of our own version."""
    sprung = world.home / "sprung"
    sha256 = str(world.promote(2.0).bundle_sha256)
    source = pickled(world, sprung, as_file)
    assert put_in(world, source, sha256) == 2
    assert "was moved to version 2 without the ledger, and names version 1 again" in world.reconcile().mended[0]
    assert world.serves(2.0)

    delete_model(world)
    shutil.rmtree(world.published())
    world.client.create_registered_model(world.name)
    assert put_in(world, source, sha256) == 1
    found = world.reconcile()
    assert "clipcast rollback" in found.problems[0]
    with pytest.raises(ClipcastError):
        load(world.registry.bundle_of(world.registry.ledger.history(world.name)[0]).folder)
    for name, value in NO_PICKLES.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", world.tracking.uri)
    world.client.set_registered_model_alias(world.name, PRODUCTION, "1")  # it was taken away
    with pytest.raises(MlflowException, match="pickle is disallowed"):
        load_model(f"models:/{world.name}@{PRODUCTION}")
    assert not sprung.exists()


@pytest.mark.parametrize("flavour", ["sklearn", "made_up"])
def test_a_version_of_another_flavour_is_never_loaded(world: World, flavour: str) -> None:
    world.promote(2.0)
    folder = world.home / "stranger"
    folder.mkdir()
    (folder / "MLmodel").write_text(f"flavors:\n  {flavour}:\n    pickled_model: model.pkl\n")
    (folder / "model.pkl").write_bytes(pickle.dumps(Trap(world.home / "sprung")))
    version = world.client.create_model_version(world.name, folder.as_uri()).version
    world.client.set_registered_model_alias(world.name, PRODUCTION, version)
    with pytest.raises(RegistryError, match=f"version {version} of {world.name} was not registered by clipcast"):
        world.tracking.download(world.name, int(version), world.home / "fetched")
    assert "names version 1 again" in world.reconcile().mended[0]
    assert world.serves(2.0)
    assert not (world.home / "sprung").exists()


def clipcast(world: World, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command, in the workspace and with the store of a world."""
    places = {"CLIPCAST_HOME": str(world.home), "CLIPCAST_DATA": str(world.home / "data")}
    env = {**os.environ, **places, "CLIPCAST_TRACKING_URI": world.tracking.uri, **environment}
    command = [sys.executable, "-m", "flows.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env)


def test_the_command_says_what_it_put_back_and_what_is_left_to_choose(pair: World) -> None:
    move_alias(pair)
    mended = clipcast(pair, "reconcile")
    assert (mended.returncode, mended.stderr) == (0, "")
    assert "was moved to version 1 without the ledger, and names version 2 again" in mended.stdout
    delete_version(pair)
    refused = clipcast(pair, "reconcile")
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"error: {pair.name}: version 2 is in production, but was deleted")


def test_predict_and_status_name_the_file_that_was_changed(tracking: Tracking, tmp_path: Path) -> None:
    world = World(tmp_path, tracking, name=f"{PLATFORM}-performance")
    world.promote(2.0)
    alter(world.published())
    posts = tmp_path / "posts.csv"
    posts.write_text(
        "platform,post_id,account_id,published_at,media_type,caption,duration_s,sound_id,followers\n"
        "youtube,p1,a1,2026-03-01T12:00:00Z,video,hello,10,,100\n"
    )
    refused = clipcast(world, "predict", str(posts), "--out", str(tmp_path / "out.csv"))
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"error: {world.published() / 'slope.txt'} was altered")
    assert "clipcast reconcile" in refused.stderr
    assert not (tmp_path / "out.csv").exists()
    [told] = json.loads(clipcast(world, "status", "--json").stdout)["models"]
    assert "slope.txt was altered" in told["problem"]
