"""The service as a process, disturbed: nothing that was answered is lost, and no wrong version is named."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.service_world import ROOT, Running, Workspace, a_workspace, environment_of, running_service

PATIENCE_S = 30.0


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return a_workspace(tmp_path)


def until(found: Callable[[], Any], what: str) -> Any:
    """Wait until something is so, and return it."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if value := found():
            return value
        time.sleep(0.05)
    raise AssertionError(f"{what} did not come to be in {PATIENCE_S:g} s")


def health(service: Running) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(f"{service.url}/health").json()
    return found


def _status(url: str) -> int:
    try:
        return httpx.get(url, timeout=1).status_code
    except httpx.TransportError:
        return 0


def logged(workspace: Workspace) -> set[str]:
    """The ids that the prediction log holds."""
    path = workspace.settings.predictions_uri.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path)) as connection:
        return {row[0] for row in connection.execute("SELECT id FROM predictions")}


def _mount(*arguments: str) -> int:
    return subprocess.run(["/bin/mount", *arguments], capture_output=True, check=False).returncode


class Load:
    """Several clients that ask without a pause."""

    def __init__(self, service: Running, workspace: Workspace, clients: int = 4) -> None:
        self.answers: list[dict[str, Any]] = []
        self.errors: list[str] = []
        self._url = f"{service.url}/predict_performance"
        self._over = threading.Event()
        self._workspace = workspace
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(clients)]

    def _ask(self, client: int) -> None:
        with httpx.Client(timeout=PATIENCE_S) as connection:
            for turn in range(1_000_000):
                if self._over.is_set():
                    return
                try:
                    response = connection.post(self._url, json=self._workspace.post(caption=f"{client} {turn}"))
                except httpx.TransportError as error:
                    self.errors.append(repr(error))
                    return
                if response.status_code == 200:
                    self.answers.append(response.json())
                else:
                    self.errors.append(response.text)

    @contextmanager
    def running(self) -> Iterator[Load]:
        for thread in self._threads:
            thread.start()
        try:
            yield self
        finally:
            self._over.set()
            for thread in self._threads:
                thread.join()


def test_a_promotion_and_a_rollback_under_load_are_followed_without_a_dropped_request(workspace: Workspace) -> None:
    with running_service(workspace.settings) as service, Load(service, workspace).running() as load:
        until(lambda: load.answers, "a first answer")
        workspace.promote(rounds=9)
        started = time.monotonic()
        until(lambda: load.answers[-1]["version"] == "1.1.0", "the new version")
        assert time.monotonic() - started < 10
    assert load.errors == []
    versions = [each["version"] for each in load.answers]
    assert set(versions) == {"1.0.0", "1.1.0"}
    # one and the same post has two forecasts, each of the version that is named beside it
    assert {each["prediction_id"] for each in load.answers} == logged(workspace)


def test_a_corrupted_version_is_refused_and_the_one_before_goes_on(workspace: Workspace) -> None:
    production_file = workspace.settings.production_file
    before = production_file.read_bytes()
    row = workspace.promote(rounds=9)
    after = production_file.read_bytes()
    victim = workspace.settings.bundles_dir / str(row.bundle_sha256) / "known.lgb.txt"
    victim.write_bytes(victim.read_bytes().replace(b"leaf_value=", b"leaf_value=1", 1))
    production_file.write_bytes(before)
    with running_service(workspace.settings) as service, Load(service, workspace, 2).running() as load:
        production_file.write_bytes(after)
        told = until(lambda: health(service)["problems"], "word of the damage")
        assert health(service)["status"] == "degraded"
        assert "known.lgb.txt was altered" in told[workspace.model]
        count = len(load.answers)
        until(lambda: len(load.answers) > count, "another answer")
    assert load.errors == []
    assert {each["version"] for each in load.answers} == {"1.0.0"}


def test_without_the_registry_the_service_goes_on_also_after_a_restart_until_it_is_back(
    workspace: Workspace,
) -> None:
    settings, away = workspace.settings, workspace.settings.home / "away"
    with running_service(settings) as service:
        assert health(service)["status"] == "ok"
        away.mkdir()
        for path in (settings.production_file, settings.bundles_dir, settings.home / "ledger.db"):
            shutil.move(path, away / path.name)
        until(lambda: health(service)["status"] == "degraded", "word of the loss")
        assert httpx.post(f"{service.url}/predict_performance", json=workspace.post()).status_code == 200
    with running_service(settings) as service:
        assert health(service)["status"] == "degraded"
        answer = httpx.post(f"{service.url}/predict_performance", json=workspace.post()).json()
        assert answer["version"] == "1.0.0"
        for path in list(away.iterdir()):
            shutil.move(path, settings.home / path.name)
        until(lambda: health(service)["status"] == "ok", "the return of the registry")


def test_sigterm_under_load_finishes_what_was_begun_and_loses_no_row(workspace: Workspace) -> None:
    with running_service(workspace.settings) as service, Load(service, workspace).running() as load:
        until(lambda: len(load.answers) > 50, "some answers")
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(PATIENCE_S) in (0, -signal.SIGTERM)
    assert {each["prediction_id"] for each in load.answers} == logged(workspace)
    assert "Traceback" not in service.said()


def test_a_kill_loses_at_most_the_answers_of_the_last_second(workspace: Workspace) -> None:
    moments: dict[str, float] = {}
    with running_service(workspace.settings) as service, Load(service, workspace).running() as load:
        deadline = time.monotonic() + 3
        while time.monotonic() < deadline:
            now = time.monotonic()
            for each in load.answers[len(moments) :]:
                moments[each["prediction_id"]] = now
            time.sleep(0.02)
        service.process.kill()
        killed = time.monotonic()
    lost = set(moments) - logged(workspace)
    assert len(moments) > 50
    assert all(killed - moments[each] < 1.5 for each in lost)


def test_a_full_disk_holds_up_no_answer_and_loses_no_row_once_there_is_room(workspace: Workspace) -> None:
    small = workspace.settings.home / "small"
    small.mkdir()
    if _mount("-t", "tmpfs", "-o", "size=512k", "tmpfs", str(small)):
        pytest.skip("mounting a small file system takes root")
    try:
        settings = workspace.settings.model_copy(update={"predictions_uri": f"sqlite:///{small}/predictions.db"})
        full = Workspace(settings, workspace.platform)
        with running_service(settings) as service:
            with Load(service, full).running() as load:
                until(lambda: health(service)["problems"].get("log"), "word of the full disk")
                before = len(load.answers)
                until(lambda: len(load.answers) > before + 20, "answers beside a full disk")
            assert load.errors == []
            assert not _mount("-o", "remount,size=256m", str(small))
            until(lambda: health(service)["log_waiting"] == 0, "the writing of what waited")
            assert health(service)["status"] == "ok"
        assert {each["prediction_id"] for each in load.answers} == logged(full)
    finally:
        subprocess.run(["/bin/umount", "-l", small], check=True)


def test_a_slow_client_holds_up_nobody(workspace: Workspace) -> None:
    with running_service(workspace.settings) as service:
        address = urlsplit(service.url)
        with socket.create_connection((address.hostname or "", address.port or 0)) as slow:
            slow.sendall(b"POST /predict_performance HTTP/1.1\r\nhost: localhost\r\ncontent-length: 500\r\n\r\n{")
            started = time.monotonic()
            for _ in range(20):
                assert httpx.post(f"{service.url}/predict_performance", json=workspace.post()).status_code == 200
            assert time.monotonic() - started < 10


def test_connections_that_say_nothing_lock_nobody_out(workspace: Workspace) -> None:
    program = "import serving.patience as p; p.HEADERS_S = 1.0; from flows.cli import main; main()"
    with running_service(workspace.settings, program=program) as service:
        address = urlsplit(service.url)
        where = (address.hostname or "", address.port or 0)
        silent = [socket.create_connection(where) for _ in range(1_000)]
        half = socket.create_connection(where)
        half.sendall(b"GET /health HTTP/1.1\r\nx-long: ")
        try:
            until(lambda: _status(f"{service.url}/health") == 200, "an answer beside a thousand silent connections")
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                for _ in range(100):
                    half.sendall(b"x" * 10_000)
                    time.sleep(0.01)
                raise AssertionError("headers without end were read on and on")
        finally:
            for each in (*silent, half):
                each.close()


def test_no_header_makes_another_caller_of_somebody(workspace: Workspace) -> None:
    settings = workspace.settings
    limited = settings.model_copy(update={"service": settings.service.model_copy(update={"requests_per_s": 0.01})})
    with running_service(limited) as service:
        statuses = [
            httpx.get(f"{service.url}/models", headers={"x-forwarded-for": f"10.0.0.{number}"}).status_code
            for number in range(3)
        ]
    assert statuses == [200, 429, 429]


def test_ten_thousand_malformed_bodies_are_each_refused_and_leave_the_service_well(workspace: Workspace) -> None:
    whole = str(workspace.post()).replace("'", '"').encode()
    bodies = [whole[:cut] for cut in range(1, len(whole))]
    bodies += [whole.replace(b'"', mark) for mark in (b"'", b"\xff", b"\0", b"\\")]
    bodies += [b"[" * 5_000, b"{}" * 3, b"null", b"1e999", b'{"platform": NaN}', b"\xed\xa0\x80", b'"' + b"x" * 10_000]
    paths = ("performance", "virality", "posting_time", "performance/batch")
    with running_service(workspace.settings) as service:
        urls = [f"{service.url}/predict_{path}" for path in paths]

        def send(part: int) -> set[int]:
            headers = {"content-type": "application/json"}
            with httpx.Client() as client:
                return {
                    client.post(urls[turn % 4], content=bodies[turn % len(bodies)], headers=headers).status_code
                    for turn in range(part, 10_000, 4)
                }

        with ThreadPoolExecutor(4) as pool:
            statuses = set().union(*pool.map(send, range(4)))
        assert statuses <= {400, 413, 422}
        assert httpx.post(urls[0], json=workspace.post()).status_code == 200
        assert "Traceback" not in service.said()


def test_the_process_holds_no_library_of_training_and_is_ready_soon_and_small(workspace: Workspace) -> None:
    program = (
        "import sys, time, resource, json, threading\n"
        "from features.safety import protect\n"
        "started = time.perf_counter()\n"
        "from serving.lean import without_unused; without_unused()\n"
        "from features.settings import Settings\n"
        "from serving.app import create_app\n"
        "service = create_app(Settings.load()).state.service\n"
        "deployed = service.versions.refresh()\n"
        "seconds = time.perf_counter() - started\n"
        "loaded = [name for name, module in sys.modules.items() if module is not None and '.' not in name]\n"
        "status = open('/proc/self/status').read().split('VmRSS:')[1].split()[0]\n"
        "print(json.dumps([sorted(loaded), seconds, int(status) / 1024, len(deployed.champions)]))\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", program],
        env=environment_of(workspace.settings) | {"PYTHONPATH": str(ROOT)},
        cwd=workspace.settings.home,
        check=True,
        capture_output=True,
        text=True,
    )
    modules, seconds, mebibytes, champions = json.loads(said.stdout)
    assert champions == 1
    assert not {"mlflow", "prefect", "torch", "optuna", "pandas", "sklearn", "dvc", "evidently", "matplotlib"} & set(
        modules
    )
    assert mebibytes < 400
    assert seconds < 30  # three on a quiet machine: benchmarks/service.py measures that
