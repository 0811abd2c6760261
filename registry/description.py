"""What is said of a version: its card and pictures, and its run's parameters and tags."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from features.catalogue import CATALOGUE
from features.columns import Ints
from features.schema import IMPORT, PRIMARY, Platform
from features.simulate import SOURCE as SIMULATED
from registry.decision import Decision
from training.drawing import Heading
from training.evaluate import MODEL, Ladder
from training.examples import Examples, inputs_of
from training.facts import (
    Card,
    CheckFacts,
    DataFacts,
    FeatureFacts,
    HoldoutFacts,
    SourceFacts,
    TrainingFacts,
)
from training.recipe import Recipe
from training.report import Reported
from training.task import Model
from training.telling import Told

CARD, LADDER = "card.md", "ladder.json"


@dataclass(frozen=True)
class Described:
    """Everything that a description of a version is made from.

    Attributes
    ----------
    rows
        Rows that the served fit learned from.
    judged
        Rows of the holdout.
    told
        What only the model's family can say.
    """

    name: str
    semver: str
    recipe: Recipe
    model: Model
    examples: Examples
    rows: Ints
    judged: Ints
    report: Reported
    told: Told
    decision: Decision
    holdout_uses: int
    data_hash: str
    trials: int
    maturity_days: float
    horizon_days: float
    unseen: Ladder | None

    @property
    def simulated(self) -> bool:
        """Whether any of the posts are simulated."""
        return SIMULATED in self.examples.sources

    @property
    def sources(self) -> list[str]:
        """Names of the sources of the training rows."""
        return sorted({self.examples.sources[row] for row in self.rows})


def write_description(described: Described, folder: Path) -> Path:
    """Write the card with its pictures and the ladder as JSON into a folder, and return the card's path."""
    import json

    folder.mkdir(parents=True, exist_ok=True)
    groups = {name: _group(name) for name in described.model.names}
    pictures = described.told.draw(folder, _heading(described), described.model.importance(), groups)
    card = card_of(described, {name: path.name for name, path in pictures.items()})
    path = folder / CARD
    path.write_text(described.told.render(card), encoding="utf-8")
    (folder / LADDER).write_text(json.dumps(described.report.ladder.to_dict(), indent=1), encoding="utf-8")
    (folder / "decision.json").write_text(json.dumps(described.decision.to_dict(), indent=1), encoding="utf-8")
    return path


def measured(described: Described) -> dict[str, float]:
    """Return every metric of a version under the same names for all: holdout, folds, accounts never seen."""
    found = {**described.report.metrics(), **described.told.metrics, **described.model.fold_metrics()}
    if described.unseen is not None:
        found |= {f"unseen_accounts_{name}": value for name, value in described.unseen.metrics(MODEL).items()}
    return found


def run_parameters(described: Described) -> dict[str, Any]:
    """Return the parameters of a run, under the same names for every run."""
    recipe = described.recipe.to_dict()
    own = recipe.pop("parameters")
    return {
        **{f"estimator.{name}": value for name, value in own.items()},
        **{name: ",".join(value) if isinstance(value, list) else value for name, value in recipe.items()},
        "trials": described.trials,
        "posts": len(described.rows),
        "accounts": len(np.unique(described.examples.account[described.rows])),
        "maturity_days": described.maturity_days,
        "horizon_days": described.horizon_days,
    }


def version_tags(described: Described) -> dict[str, str]:
    """Return what a version is found by beside its metrics."""
    posts = described.examples.posts.published_s[described.rows]
    return {
        "semver": described.semver,
        "recipe": described.recipe.digest,
        "estimator": described.recipe.estimator,
        "data_hash": described.data_hash,
        "data_sources": ",".join(described.sources),
        "simulated": str(described.simulated).lower(),
        "trained_from": _day(int(posts.min())),
        "trained_through": _day(int(posts.max())),
        "code": code_version(),
        "verdict": str(described.decision.verdict),
        "reason": described.decision.reason,
    }


def code_version() -> str:
    """Return the commit of the checkout this code runs from, else the version of the installed package."""
    here = Path(__file__).parent
    found = (
        subprocess.run(
            ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=12"],  # noqa: S607  # git of the path
            capture_output=True,
            text=True,
            check=False,
        )
        if (here.parent / ".git").exists()
        else None
    )
    commit = found.stdout.strip() if found and found.returncode == 0 else ""
    return commit or f"clipcast {installed_version('clipcast')}"


def data_words(described: Described) -> str:
    """Say in words which data a version speaks of."""
    posts = described.examples.posts.published_s[described.rows]
    kind = "simulated posts" if described.simulated else f"posts from {', '.join(described.sources)}"
    return f"{len(described.rows):,} {kind}, {_day(int(posts.min()))} to {_day(int(posts.max()))}"


def card_of(described: Described, pictures: Mapping[str, str]) -> Card:
    """Collect the facts of a version's card."""
    recipe, platform = described.recipe, Platform(described.model.platform)
    judged_s = described.examples.published_s[described.judged]
    return Card(
        model=described.name,
        platform=str(platform),
        version=described.semver,
        outcome=PRIMARY[platform],
        maturity_days=described.maturity_days,
        horizon_days=described.horizon_days,
        data=_data_facts(described),
        training=TrainingFacts(
            trained_at=datetime.now(UTC).strftime("%Y-%m-%d"),
            recipe=recipe.digest,
            estimator=recipe.estimator,
            parameters=dict(recipe.parameters),
            code=code_version(),
            seed=recipe.seed,
            folds=recipe.folds,
            trials=described.trials,
            embargo_days=recipe.embargo_days,
            unseen_accounts=described.unseen.rungs[MODEL]["mae_log"] if described.unseen else None,
        ),
        holdout=HoldoutFacts(
            _day(int(judged_s.min())), _day(int(judged_s.max())), uses=described.holdout_uses, refitted=True
        ),
        ladder=described.report.ladder,
        nominal_coverage=recipe.coverage,
        interval_method=described.told.interval_method,
        outputs=described.told.outputs,
        features=_feature_facts(described),
        importance=described.model.importance(),
        importance_method=described.told.importance_method,
        decision=described.decision.reason,
        checks=tuple(CheckFacts(check.name, check.passed, check.detail) for check in described.decision.checks),
        pictures=pictures,
        gaps=described.model.gaps,
        virality=described.told.virality,
    )


def _heading(described: Described) -> Heading:
    platform = Platform(described.model.platform)
    return Heading(
        model=described.name,
        platform=str(platform),
        version=described.semver,
        source=", ".join(described.sources),
        outcome=PRIMARY[platform],
        simulated=described.simulated,
    )


def _data_facts(described: Described) -> DataFacts:
    examples, rows = described.examples, described.rows
    known = examples.known[rows]
    missing = [name for name in IMPORT if name in known.columns and known[name].null_count() == known.height]
    regimes = Counter(examples.populations[row].split("/", 1)[1] for row in rows)
    return DataFacts(
        sources=tuple(_source_facts(name, known) for name in described.sources),
        data_hash=described.data_hash,
        trained_through=_day(int(examples.published_s[rows].max())),
        simulated=described.simulated,
        immature=len(examples.history.table) - len(examples),
        missing_columns=tuple(missing),
        followers_backfilled=_share(known, "followers_backfilled"),
        assumed_known_at=_share(known, "assumed_known_at"),
        off_horizon=float(np.mean((known["age_days"] - described.horizon_days).abs().to_numpy() > 1)),
        regimes=dict(sorted(regimes.items())),
    )


def _source_facts(name: str, known: pl.DataFrame) -> SourceFacts:
    posts = known.filter(pl.col("source") == name)
    return SourceFacts(
        name=name,
        posts=posts.height,
        accounts=posts["account_id"].n_unique(),
        first=str(posts["published_at"].dt.date().min()),
        last=str(posts["published_at"].dt.date().max()),
        chosen="simulated from a seed" if name == SIMULATED else None,
    )


def _feature_facts(described: Described) -> tuple[FeatureFacts, ...]:
    matrix = inputs_of(described.examples, described.rows, described.model.fitted, names=described.model.names).matrix
    missing = np.isnan(matrix).mean(axis=0)
    return tuple(
        FeatureFacts(name, _group(name), CATALOGUE[name].meaning if name in CATALOGUE else "Measured.", float(share))
        for name, share in zip(described.model.names, missing, strict=True)
    )


def _group(name: str) -> str:
    return CATALOGUE[name].group if name in CATALOGUE else "measured"


def _share(known: pl.DataFrame, flag: str) -> float:
    return float(np.mean(known[flag].fill_null(value=False).to_numpy()))


def _day(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")
