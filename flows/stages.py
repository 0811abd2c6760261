"""The stages of `dvc.yaml`: the reproducible, offline form of the weekly flow, on all posts of the store.

They call what the flows call, but keep everything in `artifacts/` and touch neither registry nor ledger: the gate
decides here as it would about a first version, against the account anchor. They speak of performance alone.
"""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
from rich.console import Console
from rich.text import Text

from features.errors import ClipcastError
from features.known import known_posts
from features.schema import Platform
from features.settings import Settings
from features.store import Store
from flows.challenge import every_row, fit_twice
from flows.job import Job, Watcher
from flows.retrain import sealed, starting_recipe
from registry.bundle import open_bundle
from registry.candidate import evidence_of_first, pack
from registry.decision import decide
from registry.loading import load
from training.examples import Examples, build_examples
from training.performance import Performance
from training.performance_model import PerformanceModel
from training.report import Report, report_on
from training.tune import tune

ARTIFACTS = Path("artifacts")


@dataclass(frozen=True)
class Stage:
    """A stage at work on one platform."""

    job: Job
    console: Console

    @property
    def known(self) -> Path:
        """What was known of the platform's posts."""
        return ARTIFACTS / "features" / f"{self.job.platform}.parquet"

    def folder(self, kind: str) -> Path:
        """The folder of one kind of artifact of the platform."""
        return ARTIFACTS / kind / str(self.job.platform)

    def examples(self) -> Examples:
        """Read the platform's rows."""
        training = self.job.settings.training
        return build_examples(
            pl.read_parquet(self.known), min_posts=training.min_posts, min_accounts=training.min_accounts
        )


def run_stage(name: str, console: Console) -> None:
    """Run one stage for every platform in the store."""
    if name not in STAGES:
        raise ClipcastError(f"there is no stage {name}; choose one of {', '.join(STAGES)}")
    settings = Settings.load()
    platforms = Store(settings.data).platforms()
    if not platforms:
        raise ClipcastError(f"there are no posts in {settings.data}; make the sample: clipcast sample")
    found: dict[str, Any] = {}
    for platform in platforms:
        job = Job(name, platform, datetime.now(UTC).date(), settings, _printing(platform, console))
        found[str(platform)] = STAGES[name](Stage(job, console))
    _write_json(ARTIFACTS / f"{name}.json", found)


def featurize(stage: Stage) -> dict[str, Any]:
    """Write what is known of the platform's posts."""
    job = stage.job
    known = known_posts(job.store, job.platform, **job.settings.outcome.model_dump())
    stage.known.parent.mkdir(parents=True, exist_ok=True)
    known.write_parquet(stage.known, statistics=False)
    mature = known["known_at"].is_not_null().sum()
    return {"posts": known.height, "mature": int(mature), "accounts": known["account_id"].n_unique()}


def train(stage: Stage) -> dict[str, Any]:
    """Search a recipe, and fit it to the rows before the holdout and to all."""
    job, examples = stage.job, stage.examples()
    split = sealed(job, examples)
    known = examples.known_by(split.train, split.until_s)
    tuned = tune(
        known,
        split.train,
        starting_recipe(job, "lightgbm"),
        trials=job.settings.training.trials,
        storage=None,
        study_name=f"dvc/{job.platform}",
    )
    evaluated, served = fit_twice(job, examples, split, tuned.recipe)
    for kind, model, rows in (("evaluated", evaluated, split.train), ("served", served, every_row(examples))):
        folder = stage.folder(kind)
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        outcome = job.settings.outcome.model_dump()
        pack(model, tuned.recipe, examples, rows, outcome=outcome, data_hash=job.data_hash, folder=folder)
    return {"score": tuned.score, "recipe": tuned.recipe.to_dict(), "trials": tuned.trials}


def evaluate(stage: Stage) -> dict[str, Any]:
    """Judge the evaluated fit on the holdout, and write what DVC plots."""
    job, examples = stage.job, stage.examples()
    report = _judged(stage, examples)
    _write_rows(ARTIFACTS / "plots" / f"ladder-{job.platform}.csv", report.ladder.table())
    scored = report.model
    pairs = [
        {"predicted": float(predicted), "actual": float(actual)}
        for predicted, actual in zip(scored.prediction, scored.truth, strict=True)
    ]
    _write_rows(ARTIFACTS / "plots" / f"predicted-actual-{job.platform}.csv", pairs)
    return report.metrics()


def gate(stage: Stage) -> dict[str, Any]:
    """Decide about the served fit as about a first version."""
    job, examples = stage.job, stage.examples()
    report = _judged(stage, examples)
    decision = decide(evidence_of_first(open_bundle(stage.folder("served")), report, 1), job.rules.gate)
    job.watcher.say(decision.reason)
    return {"promote": decision.promote, "reason": decision.reason}


STAGES: dict[str, Callable[[Stage], dict[str, Any]]] = {
    "featurize": featurize,
    "train": train,
    "evaluate": evaluate,
    "gate": gate,
}


def _judged(stage: Stage, examples: Examples) -> Report:
    job, model = stage.job, _model(stage.folder("evaluated"))
    resampled = {"replicates": job.settings.gate.replicates, "seed": job.settings.seed}
    return report_on(Performance(), model, examples, sealed(job, examples), **resampled)


def _printing(platform: Platform, console: Console) -> Watcher:
    return Watcher(say=lambda words: console.print(Text.assemble(f"{platform}: ", words)))


def _model(folder: Path) -> PerformanceModel:
    model = load(folder).model
    if not isinstance(model, PerformanceModel):
        raise ClipcastError(f"{folder} holds no performance model; run dvc repro --force train")
    return model


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
