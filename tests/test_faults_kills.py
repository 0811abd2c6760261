"""`kill -9` at any moment, then the same command again: nothing lost, nothing by halves, as if undisturbed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Timer

import numpy as np
import pytest

from tests.crash_world import FIRST, MODEL, SECOND, Workspace

KILLED = f"signal {signal.SIGKILL}"

IMPORT_MOMENTS = [
    ("features.parts:sync_folder", 1),  # the first part has its name, the second is not written yet
    ("features.store:write_manifest", 1),  # all parts are written, and none counts
    ("features.manifest:sync_folder", 1),  # all count, and DVC knows nothing of it
    ("features.versioning:_dvc", 2),  # DVC's folder is made, and nothing tracked
    ("features.versioning:_note", 1),  # DVC has tracked the data, and clipcast has not noted it
]
RUN_MOMENTS = [
    ("training.tune:Fold.error", 4),  # in the second trial
    ("registry.tracking:Tracking._fill", 1),  # the run is made in MLflow, and empty
    ("registry.tracking:Tracking.set_alias", 1),  # the bundle is published, the alias not moved
    ("registry.promotion:mend_challenger_alias", 1),  # the alias is moved, the row not committed
    ("flows.challenge:settle", 1),  # the version is registered, and not in the ledger
    ("registry.places:Registry.write_production_file", 2),  # the row is committed, the file not written
    ("registry.runs:Runs.finish_run", 1),  # everything is done, and the run not recorded as done
]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace in which two weeks went by without a disturbance."""
    workspace = Workspace(tmp_path_factory.mktemp("undisturbed"))
    for part, day in ((1, FIRST), (2, SECOND)):
        workspace.run(*workspace.import_posts(part))
        assert workspace.run_jobs(day) == ["promoted"]
    return workspace


@pytest.mark.slow
def test_imports_and_jobs_killed_at_every_named_moment_end_as_undisturbed_ones(
    undisturbed: Workspace, tmp_path: Path
) -> None:
    workspace = Workspace(tmp_path)
    for part, day in ((1, FIRST), (2, SECOND)):
        for target, number in IMPORT_MOMENTS if part == 1 else IMPORT_MOMENTS[1:2]:
            workspace.run_until(target, number, *workspace.import_posts(part))
        workspace.run(*workspace.import_posts(part))
        moments = RUN_MOMENTS if part == 2 else RUN_MOMENTS[-3:-1]
        said = workspace.run_jobs(day, *(("die", *moment) for moment in moments))
        assert said == [*[KILLED] * len(moments), "promoted"]
    assert workspace.state() == undisturbed.state()


@pytest.mark.soak
def test_of_two_weekly_runs_one_works_and_nothing_of_it_outlives_a_kill(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.run(*workspace.import_posts(1))
    weekly = ("run", "weekly", "--date", FIRST)
    with workspace.start(*weekly) as first:
        _wait_for(first, "building rows")
        os.kill(first.pid, signal.SIGSTOP)
        assert "another process is at it" in workspace.run(*weekly)
        assert len(workspace.processes()) > 1, "the first run has Prefect's server beside it"
        first.kill()
    deadline = time.monotonic() + 10
    while workspace.processes() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert workspace.processes() == []
    assert "promoted" in workspace.run(*weekly)
    assert [row["semver"] for row in workspace.state()["ledger"]] == ["1.0.0"]


def test_a_child_ends_with_its_parent_however_that_ends(tmp_path: Path) -> None:
    sleeping = tmp_path / "sleeping.py"
    sleeping.write_text("import time\nprint('up', flush=True)\ntime.sleep(600)\n")
    parent = (
        "import subprocess, os\nfrom features.child import lifeline, program\n"
        f"os.chdir({str(tmp_path)!r}); os.environ['PYTHONPATH'] = {str(tmp_path)!r}\n"
        "with lifeline() as line:\n subprocess.run(program(line, 'sleeping'), pass_fds=(line,), check=True)\n"
    )
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.kill()
        ended = Timer(20, process.stdout.close)  # the child holds the other end of the pipe while it lives
        ended.start()
        assert process.stdout.read() == ""
        ended.cancel()


@pytest.mark.soak
def test_commands_killed_at_random_moments_end_as_undisturbed_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`SOAK_SEED`, `SOAK_KILLS` and `SOAK_MINUTES` choose another course."""
    seed = int(os.environ.get("SOAK_SEED", time.time_ns() % 1_000_000))
    wanted, minutes = int(os.environ.get("SOAK_KILLS", "32")), float(os.environ.get("SOAK_MINUTES", "25"))
    soak = Soak(np.random.default_rng(seed), time.monotonic() + 60 * minutes)
    with capsys.disabled():
        sys.stdout.write(f"\nSOAK_SEED={seed}\n")
        plain = Workspace(tmp_path / "undisturbed")
        for command in soak.commands(plain):
            plain.run(*command)
        expected = plain.state()
        chain = 0
        while len(soak.kills) < wanted and not soak.is_late():
            chain += 1
            workspace = Workspace(tmp_path / f"chain-{chain}")
            for command in soak.commands(workspace):
                soak.disturb(workspace, command)
            found = workspace.state()
            assert found == expected, f"after {soak.kills}"
            sys.stdout.write(f"chain {chain}: as undisturbed after {len(soak.kills)} kills\n")
        sys.stdout.write(soak.figures())
    assert len(soak.kills) >= wanted, "the time was over before the kills were"


class Soak:
    """Kills at random moments, remembered."""

    KILLS_A_COMMAND = 5

    def __init__(self, chance: np.random.Generator, ends_s: float) -> None:
        self.chance = chance
        self.ends_s = ends_s
        self.kills: list[tuple[str, str, float]] = []
        self.started_s = time.monotonic()

    def is_late(self) -> bool:
        return time.monotonic() > self.ends_s

    @staticmethod
    def commands(workspace: Workspace) -> Iterator[tuple[str, ...]]:
        for part, day in ((1, FIRST), (2, SECOND)):
            yield workspace.import_posts(part)
            yield ("run", "weekly", "--date", day)

    def disturb(self, workspace: Workspace, command: tuple[str, ...]) -> None:
        """Start a command and kill it, again and again, then let it end; what it started has to end with it."""
        for _ in range(self.KILLS_A_COMMAND):
            if self.is_late():
                break
            phase, most_s = self._moment(command)
            delay_s = self.chance.uniform(0, most_s)
            with workspace.start(*command) as process:
                _wait_for(process, phase)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(delay_s)
                    break
                process.kill()
            self.kills.append((command[1 if command[0] == "run" else 0], phase, round(delay_s, 2)))
            time.sleep(0.2)
            assert workspace.processes() == [], f"left behind by {self.kills[-1]}"
        workspace.run(*command)

    def _moment(self, command: tuple[str, ...]) -> tuple[str, float]:
        """A line of output, empty for the start, and how many seconds the phase behind it lasts at most."""
        if command[0] == "import":
            return "", 5.0
        phases = [("", 8.0), ("building rows", 4.0), ("fitting", 3.0), ("deciding", 2.5)]
        return phases[self.chance.integers(len(phases))]

    def figures(self) -> str:
        took_s = time.monotonic() - self.started_s
        phases = {kill[:2] for kill in self.kills}
        told = ", ".join(
            f"{sum(kill[:2] == phase for kill in self.kills)} in {phase[0]} after {phase[1] or 'the start'}"
            for phase in sorted(phases)
        )
        return f"{len(self.kills)} kills in {took_s:.0f} s: {told}; state of {MODEL} as undisturbed each time\n"


def _wait_for(process: subprocess.Popen[str], words: str) -> None:
    """Read what a process says until it has said some words, or has ended."""
    assert process.stdout is not None
    while words and process.poll() is None and words not in (line := process.stdout.readline()) and line:
        continue
