"""What MLflow is told of a version, and that nothing it serves was ever a pickle."""

from __future__ import annotations

import contextlib
import io
import json
import multiprocessing
import os
import pickle
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from features.errors import BundleError, RegistryError
from features.settings import in_schema
from registry.address import making_tables
from registry.bundle import open_bundle, refuse_pickle
from registry.database import Database
from registry.decision import decide
from registry.gate import GateRules
from registry.ledger import Kind, Ledger
from registry.loading import load, posts_of_rows
from registry.places import Registry
from registry.production import read_production
from registry.promotion import Candidate, settle
from registry.reconciliation import reconcile
from registry.tracking import Tracking, experiment_of, model_name
from tests.registry_fakes import MODEL, ROWS, good_evidence, use_slope, write_slope


@dataclass(frozen=True)
class World:
    """A tracking store with one registered version of the tiny family."""

    home: Path
    tracking: Tracking
    run_id: str
    bundle: Path

    @property
    def version_folder(self) -> Path:
        return self.home / "artifacts" / "clipcast-youtube" / self.run_id / "artifacts" / "model"


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> World:
    home = tmp_path_factory.mktemp("home")
    on_server = request.param == "postgresql"
    address = in_schema(request.getfixturevalue("postgres").new_database(), "tracking") if on_server else None
    tracking = open_tracking(home, address)
    card = home / "files" / "card"
    card.mkdir(parents=True)
    (card / "card.md").write_text("# A card")
    found: dict[str, Any] = {"params": {"trials": 3}, "metrics": {"r2": 0.5}, "tags": {"data": "d1"}}
    run_id = tracking.log_run("clipcast-youtube", "weekly", **found, artifacts=card.parent, run_key="k1")
    bundle = write_slope(home / "trained", 2.0)
    tracking.register(MODEL, bundle, run_id, {"semver": "1.0.0"}, "the first")
    tracking.set_alias(MODEL, "production", 1)
    return World(home, tracking, run_id, bundle)


def open_tracking(home: Path, address: str | None = None) -> Tracking:
    return Tracking(address or f"sqlite:///{home}/mlflow.db", (home / "artifacts").as_uri(), home / "locks")


def client(world: World) -> Any:
    from mlflow.tracking import MlflowClient

    return MlflowClient(world.tracking.uri)


def load_pyfunc(world: World, uri: str) -> Any:
    from mlflow.pyfunc import load_model

    with pytest.MonkeyPatch.context() as patch:  # what MLflow itself is told, it never forgets
        patch.setenv("MLFLOW_TRACKING_URI", world.tracking.uri)
        return load_model(uri)


def frame(**changes: Any) -> Any:
    """The posts as a caller of MLflow has them, the second one changed."""
    import pandas as pd

    posts = pd.DataFrame(ROWS).astype({"followers": float})
    for name, value in changes.items():
        posts[name] = [value if row == 1 else kept for row, kept in enumerate(posts.get(name, [None] * 3))]
    return posts


def test_names_follow_one_pattern() -> None:
    assert experiment_of("tiktok") == "clipcast-tiktok"
    assert model_name("tiktok", "performance") == "clipcast-tiktok-performance"


def test_a_run_holds_everything_it_was_given(world: World) -> None:
    run = client(world).get_run(world.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"trials": "3"}
    assert run.data.metrics == {"r2": 0.5}
    assert run.data.tags["data"] == "d1"
    assert [each.path for each in client(world).list_artifacts(world.run_id, "card")] == ["card/card.md"]


def test_a_run_with_a_key_is_logged_once(world: World) -> None:
    again = world.tracking.log_run("clipcast-youtube", "weekly", {}, {}, {}, run_key="k1")
    other = world.tracking.log_run("clipcast-youtube", "weekly", {}, {}, {}, run_key="k2")
    assert again == world.run_id != other


def test_what_a_killed_process_left_of_a_run_is_removed(world: World) -> None:
    experiment = client(world).get_experiment_by_name("clipcast-youtube").experiment_id
    left = client(world).create_run(experiment, tags={"run_key": "k3"}, run_name="weekly").info.run_id
    fresh = world.tracking.log_run("clipcast-youtube", "weekly", {}, {}, {}, run_key="k3")
    assert fresh != left
    assert client(world).get_run(left).info.lifecycle_stage == "deleted"


def test_promotion_and_reconciliation_work_through_mlflow(world: World, tmp_path: Path) -> None:
    ledger = Ledger(Database(f"sqlite:///{tmp_path}/ledger.db"))
    registry = Registry(ledger, world.tracking, tmp_path / "bundles", tmp_path / "production.json")
    name = "clipcast-youtube-story"
    for slope in (2.0, 3.0):
        folder = write_slope(tmp_path / f"trained-{slope}", slope)
        run_id = world.tracking.log_run("clipcast-youtube", f"story {slope}", {}, {}, {})
        version = world.tracking.register(name, folder, run_id, {"semver": f"{slope}.0"}, "")
        made = Candidate(name, f"{slope}.0", folder, "simulated posts", version)
        settle(registry, made, decide(good_evidence(), GateRules()), expected_head=ledger.head(name), who="tester")
    assert world.tracking.get_alias(name, "production") == 2

    client(world).delete_model_version(name, "1")
    client(world).delete_registered_model_alias(name, "production")
    shutil.rmtree(tmp_path / "bundles")
    assert reconcile(registry, "tester").problems == []
    assert world.tracking.get_alias(name, "production") == 2
    assert ledger.history(name)[-1].kind is Kind.RECONCILED
    assert read_production(tmp_path / "production.json")[name].version == 2

    client(world).delete_model_version(name, "2")
    assert "was deleted from the registry" in reconcile(registry, "tester").problems[0]


def test_no_run_becomes_the_active_one(world: World) -> None:
    import mlflow

    world.tracking.log_run("clipcast-youtube", "daily", {}, {}, {})
    assert mlflow.active_run() is None


def test_an_experiment_in_the_bin_is_taken_out(world: World) -> None:
    world.tracking.log_run("clipcast-tiktok", "daily", {}, {}, {})
    client(world).delete_experiment(client(world).get_experiment_by_name("clipcast-tiktok").experiment_id)
    assert world.tracking.log_run("clipcast-tiktok", "daily", {}, {}, {})


def test_a_version_is_registered_once_a_run(world: World) -> None:
    assert world.tracking.register(MODEL, world.bundle, world.run_id, {}, "again") == 1


def test_a_version_names_the_sha256_of_its_bundle_and_files(world: World) -> None:
    tags = world.tracking.version_tags(MODEL, 1)
    bundle = open_bundle(world.bundle)
    assert tags["bundle_sha256"] == bundle.sha256
    assert tags["sha256/slope.txt"] == bundle.meta["files"]["slope.txt"]
    assert (tags["semver"], tags["data_hash"], tags["platform"]) == ("1.0.0", "d1", "youtube")


def test_what_a_run_says_when_it_starts_again_replaces_what_it_said(world: World) -> None:
    again = {"metrics": {"r2": 0.6}, "tags": {"data": "d2"}}
    assert world.tracking.log_run("clipcast-youtube", "weekly", {"trials": 4}, **again, run_key="k1") == world.run_id
    run = client(world).get_run(world.run_id)
    assert (run.data.metrics, run.data.tags["data"]) == ({"r2": 0.6}, "d2")
    assert run.data.params == {"trials": "3"}, "MLflow does not let parameters change"
    world.tracking.register(MODEL, world.bundle, world.run_id, {"verdict": "kept"}, "seen again")
    assert world.tracking.version_tags(MODEL, 1)["verdict"] == "kept"
    assert client(world).get_model_version(MODEL, "1").description == "seen again"


def test_tables_of_a_new_file_are_made_at_once_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr("mlflow.store.db.utils._upgrade_db", interrupted)
        with pytest.raises(KeyboardInterrupt):
            open_tracking(tmp_path).ping()
    assert next(tmp_path.glob(".mlflow.db.new-*")).stat().st_size, "tables were being made"
    assert not (tmp_path / "mlflow.db").stat().st_size
    open_tracking(tmp_path).ping()
    assert not list(tmp_path.glob(".mlflow.db.new-*"))


def test_tags_can_be_added(world: World) -> None:
    world.tracking.set_version_tags(MODEL, 1, {"verdict": "promoted"})
    assert world.tracking.version_tags(MODEL, 1)["verdict"] == "promoted"


def test_aliases_are_set_read_and_removed(world: World) -> None:
    world.tracking.set_alias(MODEL, "challenger", 1)
    assert world.tracking.get_alias(MODEL, "challenger") == 1
    for _ in range(2):
        world.tracking.delete_alias(MODEL, "challenger")
        assert world.tracking.get_alias(MODEL, "challenger") is None


def test_what_does_not_exist_is_told_apart_from_what_does(world: World) -> None:
    assert world.tracking.get_alias("nobody", "production") is None
    sha256 = open_bundle(world.bundle).sha256
    assert world.tracking.holds(MODEL, 1, sha256)
    assert not world.tracking.holds(MODEL, 1, "0" * 64)
    assert not world.tracking.holds(MODEL, 99, sha256)
    assert not world.tracking.holds("nobody", 1, sha256)
    with pytest.raises(RegistryError, match="no version 99"):
        world.tracking.version_tags(MODEL, 99)
    with pytest.raises(RegistryError, match="could not set"):
        world.tracking.set_alias(MODEL, "production", 99)


def test_a_downloaded_bundle_is_the_registered_one(world: World, tmp_path: Path) -> None:
    folder = world.tracking.download(MODEL, 1, tmp_path / "new")
    assert open_bundle(folder).sha256 == open_bundle(world.bundle).sha256


class Reader(pickle.Unpickler):
    """Reads a pickle as far as the first class that it asks for, which is never imported."""

    def find_class(self, module: str, name: str) -> Any:
        # text such as "channels:" reads like a request for a class with an impossible name
        path = f"{module}.{name}"
        raise NameError(path) if path.replace(".", "").isidentifier() else ValueError(path)


def is_pickle(path: Path) -> bool:
    try:
        Reader(io.BytesIO(path.read_bytes())).load()
    except NameError:
        return True
    except Exception:  # noqa: BLE001  whatever a file that is no pickle makes the reader say
        return False
    return True


def test_the_test_for_pickles_knows_one(tmp_path: Path) -> None:
    for number, value in enumerate(({"a": 1}, Path())):
        for protocol in range(6):
            (tmp_path / f"{number}-{protocol}").write_bytes(pickle.dumps(value, protocol=protocol))
    assert all(is_pickle(path) for path in tmp_path.iterdir())


def test_no_file_of_a_version_is_a_pickle(world: World) -> None:
    files = [path for path in world.version_folder.rglob("*") if path.is_file()]
    assert {"MLmodel", "pyfunc.py", "slope.txt", "bundle.json"} <= {path.name for path in files}
    for path in files:
        refuse_pickle(path)
        assert not is_pickle(path), path


def test_the_description_of_a_version_names_no_pickle_library_and_no_machine_path(world: World) -> None:
    text = (world.version_folder / "MLmodel").read_text()
    assert "mlflow.pyfunc.loaders.code_model" in text
    for word in ("cloudpickle", "python_model.pkl", str(world.home), str(Path(__file__).parents[1])):
        assert word not in text


def test_mlflow_answers_as_the_bundle_does(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_slope(monkeypatch, tmp_path)
    answer = load_pyfunc(world, f"models:/{MODEL}@production").predict(frame())
    expected = load(world.bundle).predict(posts_of_rows(ROWS, "youtube"))
    assert list(answer.columns) == expected.columns
    assert answer.to_dict("list") == expected.to_dict(as_series=False)


def test_unknown_values_and_columns_stay_unknown(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_slope(monkeypatch, tmp_path)
    model = load_pyfunc(world, f"models:/{MODEL}/1")
    posts = frame(duration_s=float("nan"), caption=None)
    assert model.predict(posts)["prediction"].tolist() == [21.0, 2.0, 63.0]
    assert model.predict(posts.drop(columns=["caption", "duration_s"]))["prediction"].tolist() == [2.0] * 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"published_at": "2026-03-02 12:00"}, "row 2, published_at: is not a time with its zone"),
        ({"published_at": None}, "row 2, published_at: is empty"),
        ({"post_id": ""}, "row 2, post_id: is empty"),
        ({"followers": float("inf")}, "row 2, followers: is not a whole number"),
        ({"duration_s": float("-inf")}, "row 2, duration_s: is not a number"),
        ({"followers": -1.0}, "row 2, followers: is negative"),
        ({"platform": "tiktok"}, "this model is for posts on youtube, not on tiktok"),
    ],
)
def test_bad_posts_are_refused_with_row_and_column(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], message: str
) -> None:
    use_slope(monkeypatch, tmp_path)
    with pytest.raises(Exception, match=message):
        load_pyfunc(world, f"models:/{MODEL}/1").predict(frame(**changes))


@pytest.mark.parametrize("damage", ["altered", "missing", "added"])
def test_a_tampered_version_is_refused_by_mlflow_too(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    use_slope(monkeypatch, tmp_path)
    bundle = world.version_folder / "artifacts" / "bundle"
    content = (bundle / "slope.txt").read_bytes()
    try:
        if damage == "altered":
            (bundle / "slope.txt").write_bytes(b"3" + content[1:])
        elif damage == "missing":
            (bundle / "slope.txt").unlink()
        else:
            (bundle / "surprise.txt").touch()
        with pytest.raises(BundleError, match=r"surprise\.txt" if damage == "added" else r"slope\.txt"):
            load_pyfunc(world, f"models:/{MODEL}/1")
        with pytest.raises(BundleError):
            world.tracking.download(MODEL, 1, tmp_path / "new")
    finally:
        (bundle / "slope.txt").write_bytes(content)
        (bundle / "surprise.txt").unlink(missing_ok=True)


def test_a_version_that_somebody_else_registered_is_never_loaded(world: World, tmp_path: Path) -> None:
    client(world).create_registered_model("clipcast-youtube-stranger")
    client(world).create_model_version("clipcast-youtube-stranger", str(tmp_path))
    with pytest.raises(RegistryError, match="not registered by clipcast"):
        world.tracking.download("clipcast-youtube-stranger", 1, tmp_path / "new")


def test_a_version_that_lies_about_its_bundle_is_never_loaded(world: World, tmp_path: Path) -> None:
    name, source = "clipcast-youtube-liar", str(world.version_folder)
    client(world).create_registered_model(name)
    client(world).create_model_version(name, source, tags={"bundle_sha256": "0" * 64})
    with pytest.raises(BundleError, match="expected 0000"):
        world.tracking.download(name, 1, tmp_path / "new")


def test_a_bundle_without_an_example_is_not_registered(world: World, tmp_path: Path) -> None:
    from registry.bundle import write_bundle

    (tmp_path / "model").mkdir()
    write_bundle(tmp_path / "model", {"family": "slope", "platform": "youtube"})
    with pytest.raises(RegistryError, match="no example"):
        world.tracking.register("clipcast-youtube-empty", tmp_path / "model", world.run_id, {}, "")


@pytest.mark.parametrize(
    "uri", ["http://127.0.0.1:1", "postgresql://user:secret@127.0.0.1:1/mlflow", "https://nowhere.invalid"]
)
def test_a_store_that_does_not_answer_is_a_clear_error_at_once(tmp_path: Path, uri: str) -> None:
    started = time.monotonic()
    with pytest.raises(RegistryError, match="CLIPCAST_TRACKING_URI") as caught:
        Tracking(uri, tmp_path.as_uri(), tmp_path).ping()
    assert time.monotonic() - started < 10
    assert "secret" not in str(caught.value)


def test_a_store_whose_folder_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RegistryError, match="cannot be written"):
        Tracking(f"sqlite:///{tmp_path}/file/mlflow.db", tmp_path.as_uri(), tmp_path).ping()


def test_a_relative_file_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Tracking("sqlite:///mlflow.db", "", tmp_path).uri == f"sqlite:///{tmp_path}/mlflow.db"


def first_contact(home: Path) -> None:
    open_tracking(home).ping()


@pytest.mark.soak
def test_processes_that_meet_a_new_store_at_once_make_its_tables_once(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    children = [spawn.Process(target=first_contact, args=(tmp_path,)) for _ in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join(120)
    assert [child.exitcode for child in children] == [0, 0, 0]


def test_two_workspaces_wait_for_each_other_to_make_the_tables_of_one_file(tmp_path: Path) -> None:
    uri, second = f"sqlite:///{tmp_path}/shared.db", threading.Event()

    def meet() -> None:
        with making_tables(uri, tmp_path / "b" / "tracking.lock", "SETTING"):
            second.set()

    thread = threading.Thread(target=meet)
    with making_tables(uri, tmp_path / "a" / "tracking.lock", "SETTING"):
        thread.start()
        assert not second.wait(0.5)
    thread.join(30)
    assert second.is_set()


@pytest.fixture
def served(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HTTPConnection]:
    """A connection to `mlflow models serve` on the version in production."""
    use_slope(monkeypatch, tmp_path)
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    programs = Path(sys.executable).parent
    options = ["-m", f"models:/{MODEL}@production", "--env-manager", "local", "-p", str(port)]
    # MLflow starts the server by its name, as in an activated environment
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "MLFLOW_TRACKING_URI": world.tracking.uri, "PATH": path}
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(
            [programs / "mlflow", "models", "serve", *options],
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd=tmp_path,  # uvicorn imports from here first
        )
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        wait_for(connection, server, tmp_path / "log")
        yield connection
    finally:
        connection.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)


def wait_for(connection: HTTPConnection, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and server.poll() is None:
        try:
            connection.request("GET", "/ping")
            connection.getresponse().read()
        except OSError:
            connection.close()
            time.sleep(0.3)
        else:
            return
    raise AssertionError(f"mlflow models serve did not come up: {log.read_text()[-3000:]}")


def ask(connection: HTTPConnection, *rows: dict[str, Any]) -> Any:
    body = json.dumps({"dataframe_records": rows})
    connection.request("POST", "/invocations", body, {"Content-Type": "application/json"})
    answer = json.loads(connection.getresponse().read())
    return answer.get("predictions", answer)


@pytest.mark.slow
@pytest.mark.parametrize("world", ["sqlite"], indirect=True)
def test_mlflow_models_serve_answers_raw_posts(world: World, served: HTTPConnection) -> None:
    assert ask(served, *ROWS) == load(world.bundle).predict(posts_of_rows(ROWS, "youtube")).to_dicts()
    sparse = {name: ROWS[0][name] for name in ("platform", "post_id", "account_id", "published_at")}
    assert ask(served, sparse) == [{"post_id": "p1", "prediction": 2.0, "lower": 1.0, "upper": 4.0}]
    nothing_known = {**ROWS[0], "duration_s": None, "caption": None, "followers": None, "views": None}
    assert ask(served, nothing_known)[0]["prediction"] == 2.0
    assert "is not a time with its zone" in str(ask(served, {**ROWS[0], "published_at": "yesterday"}))


def test_what_came_of_a_version_is_added_to_its_run_once_and_of_one_that_is_gone_nowhere(
    world: World, tmp_path: Path
) -> None:
    (tmp_path / "verdict.json").write_text("{}")
    day = datetime(2026, 6, 28, tzinfo=UTC)
    for _ in range(2):
        files = (tmp_path, "monitoring/2026-06-28")
        assert world.tracking.add_later(MODEL, 1, {"production_mae_log": 0.75}, day, files)
    [kept] = client(world).get_metric_history(world.run_id, "production_mae_log")
    assert (kept.value, kept.timestamp, kept.step) == (0.75, 1_782_604_800_000, day.toordinal())
    names = [each.path for each in client(world).list_artifacts(world.run_id, "monitoring/2026-06-28")]
    assert names == ["monitoring/2026-06-28/verdict.json"]
    assert not world.tracking.add_later(MODEL, 99, {"production_mae_log": 0.75}, day, None)
