"""The service under load, as ratios to two peers in the same run: `python benchmarks/service.py POSTS.csv.gz`.

The posts are imported into an empty workspace and a model of their platform is trained. Then wrk asks in turn, over 16
connections: `clipcast serve`, `mlflow models serve` with the same version, and a bare FastAPI endpoint that calls the
same boosters on a ready row (`service_bare.py`). Each has one worker and LightGBM one thread. With --soak, the service
is then held at full load for so many minutes while its memory is watched and its log is counted.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import psutil  # type: ignore[import-untyped]  # its stubs are a package that nothing else here needs

import processes
from features.reading import read_posts
from features.schema import OUTCOMES
from features.settings import Settings
from registry.production import read_production

CONNECTIONS = 16
BODIES = 2_000
ROUNDS = 3
OURS, MLFLOW, BARE = "clipcast serve", "mlflow models serve", "bare FastAPI"
FASTER_THAN_MLFLOW, P99_OF_MLFLOW, OF_BARE, GROWTH = 12.0, 0.1, 0.5, 0.05
LUA = Path(__file__).with_suffix(".lua")


@dataclass(frozen=True)
class Load:
    """What wrk saw: requests answered, seconds, requests refused or broken, and latencies in milliseconds."""

    requests: int
    seconds: float
    errors: int
    p50_ms: float
    p99_ms: float

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds


@dataclass(frozen=True)
class Peer:
    """A server and how it is asked."""

    name: str
    command: list[str]
    port: int
    ready: str
    address: str
    bodies: Path


def main() -> None:
    """Train, start each server in turn, and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("posts", type=Path)
    parser.add_argument("--seconds", type=float, default=10, help="of each measurement")
    parser.add_argument("--trials", type=int, default=5)
    parser.add_argument("--soak", type=float, default=0, help="minutes at full load")
    chosen = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("this needs wrk, the client that asks: apt-get install wrk")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        environment = processes.workspace(folder, chosen.trials) | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        posts = read_posts(chosen.posts, for_prediction=True).frame()
        platform = str(posts["platform"][0])
        processes.run([*processes.CLIPCAST, "import", str(chosen.posts), "--source", platform], environment)
        processes.run([*processes.CLIPCAST, "run", "weekly", "--platform", platform], environment)
        peers = peers_of(folder, platform, posts.sort("published_at").tail(BODIES))
        compare(peers, environment, chosen.seconds)
        if chosen.soak:
            soak(peers[0], environment, chosen.soak, folder / ".clipcast" / "predictions.db")


def peers_of(folder: Path, platform: str, posts: pl.DataFrame) -> list[Peer]:
    """Return the servers over the version in production."""
    name = f"clipcast-{platform}-performance"
    home = folder / ".clipcast"
    production = read_production(home / "production.json")[name]
    plain, records = folder / "bodies.txt", folder / "records.txt"
    rows = [_body(row) for row in posts.drop(*OUTCOMES, "observed_at", "video_path", "thumbnail_path").to_dicts()]
    plain.write_text("\n".join(map(json.dumps, rows)))
    records.write_text("\n".join(json.dumps({"dataframe_records": [row]}) for row in rows))
    ours, mlflow, bare = _free_port(), _free_port(), _free_port()
    python = sys.executable
    flags = ["-m", f"models:/{name}@production", "--env-manager", "local", "--workers", "1", "--port", str(mlflow)]
    serve = [python, *processes.CLIPCAST, "serve", "--port"]
    script, bundle = str(LUA.with_name("service_bare.py")), str(home / "bundles" / production.sha256)
    return [
        Peer(OURS, [*serve, str(ours)], ours, "/health", "/predict_performance", plain),
        Peer(MLFLOW, [python, "-m", "mlflow", "models", "serve", *flags], mlflow, "/ping", "/invocations", records),
        Peer(BARE, [python, script, bundle, str(bare)], bare, "/docs", "/predict", plain),
    ]


def compare(peers: list[Peer], environment: Mapping[str, str], seconds: float) -> None:
    """Load the servers in turn, several rounds over, and print medians and ratios."""
    found: dict[str, list[Load]] = {peer.name: [] for peer in peers}
    for number in range(ROUNDS):
        for peer in peers:
            with running(peer, environment):
                load(peer, 2, f"warm{number}")
                found[peer.name].append(load(peer, seconds, f"round{number}"))
    print(f"{CONNECTIONS} connections, {ROUNDS} rounds of {seconds:g} s each, {os.cpu_count()} cores; medians")
    rate = {name: statistics.median(each.rate for each in loads) for name, loads in found.items()}
    p99 = {name: statistics.median(each.p99_ms for each in loads) for name, loads in found.items()}
    for name, loads in found.items():
        p50 = statistics.median(each.p50_ms for each in loads)
        errors = sum(each.errors for each in loads)
        print(
            f"  {name:<20} {rate[name]:>8.0f} requests/s, p50 {p50:>7.1f} ms, p99 {p99[name]:>7.1f} ms, {errors} errors"
        )
    _verdict("requests/s against mlflow models serve", rate[OURS] / rate[MLFLOW], FASTER_THAN_MLFLOW, at_least=True)
    _verdict("p99 against mlflow models serve", p99[OURS] / p99[MLFLOW], P99_OF_MLFLOW, at_least=False)
    _verdict("requests/s against a bare endpoint", rate[OURS] / rate[BARE], OF_BARE, at_least=True)


def soak(peer: Peer, environment: Mapping[str, str], minutes: float, log: Path) -> None:
    """Hold the service at full load; print how its memory grew, and whether each answer is in its log."""
    before = _logged(log)
    with running(peer, environment) as process:
        load(peer, 30, "start")
        first = _resident(process)
        held = load(peer, 60 * minutes, "soak")
        last = _resident(process)
        served = _requests(peer)
    rows = _logged(log) - before
    print(f"{minutes:g} minutes at full load: {held.requests:,} requests, {held.rate:.0f}/s, {held.errors} errors")
    _verdict(f"memory {first:.0f} → {last:.0f} MiB, growth", last / first - 1, GROWTH, at_least=False)
    print(f"  {served:,} posts answered since the start, {rows:,} in the log: {served - rows:,} lost")


@contextlib.contextmanager
def running(peer: Peer, environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Start a server, wait until it answers, and end it as a supervisor would."""
    tracking = Settings.load(home=environment["CLIPCAST_HOME"]).tracking_uri
    env = {**environment, "MLFLOW_TRACKING_URI": tracking, "MLFLOW_DISABLE_TELEMETRY": "true"}
    process = subprocess.Popen(peer.command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait(peer, process)
        yield process
    finally:
        children = psutil.Process(process.pid).children(recursive=True)
        for each in (process, *children):
            each.terminate()
        process.wait(60)
        psutil.wait_procs(children, 60)


def load(peer: Peer, seconds: float, number: str) -> Load:
    """Ask a server as fast as it answers."""
    words = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds:g}s", "--timeout", "30s", "-s", str(LUA)]
    env = {**os.environ, "BODIES": str(peer.bodies), "ADDRESS": peer.address, "ROUND": number}
    said = subprocess.run(
        [*words, f"http://127.0.0.1:{peer.port}"], env=env, check=True, capture_output=True, text=True
    )
    line = next(each for each in said.stdout.splitlines() if each.startswith("RESULT"))
    requests, micros, errors, p50, p99 = line.split()[1:]
    return Load(int(requests), int(micros) / 1e6, int(errors), float(p50), float(p99))


def _verdict(name: str, found: float, aim: float, *, at_least: bool) -> None:
    met = found >= aim if at_least else found <= aim
    print(f"  {name}: {found:.2f}; aim {'at least' if at_least else 'at most'} {aim:g}: {'met' if met else 'MISSED'}")


def _body(row: dict[str, object]) -> dict[str, object]:
    """Return a post as it is asked about, with a mark in its caption that makes each request another."""
    known = {name: value for name, value in row.items() if value is not None and name not in ("post_id", "row")}
    known["published_at"] = row["published_at"].isoformat()  # type: ignore[attr-defined]
    return {**known, "post_id": "draft", "caption": f"@@ {row.get('caption') or ''}"}


def _wait(peer: Peer, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"http://127.0.0.1:{peer.port}{peer.ready}", timeout=5)
            return
        time.sleep(0.2)
    sys.exit(f"{peer.name} does not answer; run it by hand: {' '.join(peer.command)}")


def _requests(peer: Peer) -> int:
    """Return how many posts the service says that it has answered."""
    text = urllib.request.urlopen(f"http://127.0.0.1:{peer.port}/metrics", timeout=30).read().decode()
    return int(
        sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith("clipcast_predictions_total"))
    )


def _logged(log: Path) -> int:
    """Return how many predictions a log holds, which are too many to read."""
    with contextlib.closing(sqlite3.connect(log)) as connection:
        return int(connection.execute("SELECT count(*) FROM predictions").fetchone()[0])


def _resident(process: subprocess.Popen[bytes]) -> float:
    return float(psutil.Process(process.pid).memory_info().rss) / 2**20


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


if __name__ == "__main__":
    main()
