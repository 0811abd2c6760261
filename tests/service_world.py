"""A workspace with models in production, quickly made, and the real service over it in a process of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from features.settings import PREFIX, Settings
from features.telemetry import SILENT
from registry.candidate import pack
from registry.database import Database
from registry.decision import decide
from registry.description import LADDER
from registry.gate import Design, GateRules
from registry.ledger import Ledger, Row
from registry.places import Registry
from registry.promotion import Candidate, settle
from tests.registry_fakes import JsonVersions, good_evidence
from tests.training_world import built, known_frame, recipe
from training.evaluate import Interval
from training.performance import Performance
from training.report import report_on
from training.split import holdout_split

ROOT = Path(__file__).parents[1]
READY_S = 30.0
STOPPED_S = 30.0


@dataclass(frozen=True)
class Workspace:
    """Settings of a workspace, and a registry over its places that needs no MLflow."""

    settings: Settings
    platform: str

    @property
    def model(self) -> str:
        """The name of its model."""
        return f"clipcast-{self.platform}-performance"

    @cached_property
    def registry(self) -> Registry:
        """Ledger, versions, bundles and production file."""
        settings = self.settings
        return Registry(
            Ledger(Database(settings.database_uri)),
            JsonVersions(settings.home / "versions.json"),
            settings.bundles_dir,
            settings.production_file,
        )

    def post(self, **changes: Any) -> dict[str, Any]:
        """Return the body of a request about an account that the model knows."""
        account = known_frame(self.platform, 30, 12)["account_id"][0]
        asked = {"platform": self.platform, "account_id": account, "published_at": "2026-12-01T17:00:00Z"}
        return {**asked, "caption": "Building a boat #diy", "duration_s": 21.5, "followers": 1200, **changes}

    def promote(
        self,
        *,
        rounds: int = 5,
        won: bool = True,
        known: pl.DataFrame | None = None,
        comparison: Design = Design.REPLACE,
    ) -> Row:
        """Fit a small model and settle it: promoted, or else kept out as the challenger that lost.

        Other rounds of boosting make another bundle, whose answers differ. It takes about two seconds.
        """
        examples = built(known_frame(self.platform, 30, 12) if known is None else known)
        split = holdout_split(examples.published_s, examples.sources, share=0.2, embargo_days=3)
        task, followed = Performance(), recipe(parameters={"rounds": rounds}, folds=1)
        fitted = task.fit(followed, examples, split.train)
        report = report_on(task, fitted, examples, split, replicates=100, seed=7)
        version = self.registry.ledger.numbers(self.model).version + 1
        semver = f"1.{version - 1}.0"
        folder = self.settings.home / "candidates" / semver
        outcome = {"maturity_days": 3, "horizon_days": 7}
        rows = np.arange(len(examples))
        baseline = task.baseline(fitted, fitted, examples, split.judge, report)
        described = {"outcome": outcome, "data_hash": "d" * 64, "folder": folder, "baseline": baseline}
        pack(fitted, followed, examples, rows, **described)
        card = self.settings.cards_dir / self.model / semver
        card.mkdir(parents=True)
        (card / LADDER).write_text(json.dumps(report.ladder.to_dict()))
        registered = self.registry.versions.add(self.model, folder)  # type: ignore[attr-defined]
        gain = Interval(0.021, 0.012, 0.031) if won else Interval(0.0, -0.01, 0.01)
        return settle(
            self.registry,
            Candidate(self.model, semver, folder, f"{len(rows)} simulated posts", registered, report.metrics()),
            decide(good_evidence(gain=gain, comparison=comparison), GateRules()),
            expected_head=self.registry.ledger.head(self.model),
            who="tester",
        )


def a_workspace(
    folder: Path, platform: str = "tiktok", known: pl.DataFrame | None = None, **settings: Any
) -> Workspace:
    """Make a workspace with a performance model in production; `settings` are those of `Settings.load`."""
    made = Workspace(Settings.load(home=folder / ".clipcast", data=folder / "data", **settings), platform)
    made.settings.home.mkdir(parents=True)
    made.promote(known=known)
    return made


@dataclass(frozen=True)
class Running:
    """The service as a process: where it answers, and what it has written to its log."""

    url: str
    process: subprocess.Popen[bytes]
    log_file: Path

    def said(self) -> str:
        """Return its log so far."""
        return self.log_file.read_text(encoding="utf-8", errors="replace")


@contextmanager
def running_service(
    settings: Settings, log_file: Path | None = None, *, program: str | None = None, **environment: str
) -> Iterator[Running]:
    """Serve with these settings on a free port until the block ends; `environment` is added to the process's,
    and `program` is run in place of the command line.

    It is ready when the block begins. A process that the block has not ended is told to stop, and must do so well.
    """
    said = log_file or settings.home / "service.log"
    started = ["-m", "flows.cli"] if program is None else ["-c", program]
    command = [sys.executable, *started, "serve", "--port", "0"]
    with said.open("wb") as output:
        process = subprocess.Popen(
            command, env=environment_of(settings) | environment, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        yield Running(_address(process, said), process, said)
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            assert process.wait(STOPPED_S) in (0, -signal.SIGTERM), said.read_text()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def environment_of(settings: Settings) -> dict[str, str]:
    """Return this process's environment with every place and every setting of the service as these settings have it."""
    own = {name: value for name, value in os.environ.items() if not name.upper().startswith(PREFIX)}
    plain = settings.model_dump(mode="json", exclude_defaults=False)
    named = {name: value for name, value in plain.items() if isinstance(value, str)}
    named |= {f"service__{name}": value for name, value in plain["service"].items() if name != "port"}
    return {**own, **SILENT, "OMP_NUM_THREADS": "1", **{f"{PREFIX}{k.upper()}": _said(v) for k, v in named.items()}}


def _said(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _address(process: subprocess.Popen[bytes], log_file: Path) -> str:
    """Wait until the service says where it answers."""
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline and process.poll() is None:
        if found := re.search(r"Uvicorn running on (http://\S+)", log_file.read_text(errors="replace")):
            return found[1]
        time.sleep(0.02)
    raise AssertionError(f"the service does not answer: {log_file.read_text(errors='replace')}")
