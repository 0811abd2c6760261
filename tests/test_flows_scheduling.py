"""`clipcast schedule` in a process of its own, on an empty workspace, with the server that it starts itself."""

import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

EVERY_MINUTE = "import sys, flows.scheduling as s; s.CRONS['daily'] = '* * * * *'; from flows.cli import main; main()"


def states(home: Path) -> set[str]:
    """How the runs of the schedule stand, as Prefect's database says."""
    file = home / "prefect" / "prefect.db"
    if not file.exists():
        return set()
    connection = sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=10)
    try:
        return {state for (state,) in connection.execute("SELECT state_type FROM flow_run")}
    except sqlite3.OperationalError:  # while Prefect makes its tables
        return set()
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("wanted", "seconds"),
    [
        pytest.param("SCHEDULED", 300, marks=pytest.mark.slow),
        pytest.param("COMPLETED", 420, marks=pytest.mark.soak),
    ],
)
def test_the_schedule_makes_runs_by_itself_and_does_them(tmp_path: Path, wanted: str, seconds: float) -> None:
    home, said = tmp_path / "home", tmp_path / "said"
    env = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    env |= {"CLIPCAST_HOME": str(home), "CLIPCAST_DATA": str(tmp_path / "data")}
    with said.open("wb") as log:
        command = [sys.executable, "-c", EVERY_MINUTE, "schedule"]
        process = subprocess.Popen(command, env=env, stdout=log, stderr=log, cwd=tmp_path)
    try:
        end = time.monotonic() + seconds
        while wanted not in states(home):
            assert process.poll() is None, said.read_text()
            assert time.monotonic() < end, f"{states(home)}\n{said.read_text()}"
            time.sleep(0.5)
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
