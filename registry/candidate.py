"""A candidate: a fitted model put into a bundle, with the evidence on which the gate decides."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from features.columns import Ints
from registry import checks
from registry.bundle import Bundle, open_bundle, write_bundle
from registry.gate import Design, Evidence, GateRules, SliceGain
from registry.loading import Loaded, load, make_example
from training import report
from training.baseline import Baseline
from training.examples import Examples
from training.recipe import Recipe
from training.task import Model

EXAMPLE_POSTS = 3
TIMED_POSTS = 20


@dataclass(frozen=True)
class Rules:
    """What evidence is gathered by: the gate's own numbers, and how gains are resampled."""

    gate: GateRules
    replicates: int
    seed: int


def pack(
    model: Model,
    recipe: Recipe,
    examples: Examples,
    rows: Ints,
    *,
    outcome: Mapping[str, Any],
    data_hash: str,
    folder: Path,
    baseline: Baseline | None = None,
) -> Bundle:
    """Write a model fitted to some rows as a bundle, with an example that whoever loads it must reproduce.

    `outcome` says what it forecasts: the age of maturity and the horizon.
    """
    folder.mkdir(parents=True)
    described = model.save(folder)
    if baseline is not None:
        baseline.save(folder)
    latest = examples.known[rows[-EXAMPLE_POSTS:]]
    sources = sorted({examples.sources[row] for row in rows})
    write_bundle(
        folder,
        {
            **described,
            "recipe": recipe.to_dict(),
            "outcome": dict(outcome),
            "data_hash": data_hash,
            "sources": sources,
            "posts": len(rows),
            "trained_through": _iso(int(examples.published_s[rows].max())),
            "example": make_example(model, latest),
        },
    )
    return open_bundle(folder)


def holdout_hash(examples: Examples, rows: Ints) -> str:
    """Name a holdout by its posts, so that its uses can be counted."""
    ids = sorted(str(examples.posts.post_id[row]) for row in rows)
    return hashlib.sha256("\n".join(ids).encode()).hexdigest()


def evidence_of_first(candidate: Bundle, judged: report.Reported, uses: int) -> Evidence:
    """Gather what decides about a first version: the account anchor, and whether it loads."""
    return _evidence(Design.FIRST, candidate, judged.model, uses, anchor_gain=judged.anchor_gain)


def evidence_against(
    comparison: Design,
    champion: Loaded,
    champion_scored: report.Judgement,
    candidate: Bundle,
    candidate_scored: report.Judgement,
    examples: Examples,
    rows: Ints,
    rules: Rules,
    *,
    uses: int = 0,
) -> Evidence:
    """Gather what decides between champion and challenger on the same posts."""
    resampled = {"replicates": rules.replicates, "seed": rules.seed}
    slices = report.slice_gains(
        champion_scored,
        candidate_scored,
        min_posts=rules.gate.slice_min_posts,
        min_accounts=rules.gate.slice_min_accounts,
        **resampled,
    )
    posts = examples.known[rows[-TIMED_POSTS:]].select(load_columns(examples))
    ratio = checks.latency(champion.predict, load(candidate.folder).predict, posts).ratio
    return _evidence(
        comparison,
        candidate,
        candidate_scored,
        uses,
        gain=report.gain(champion_scored, candidate_scored, **resampled),
        slices=tuple(SliceGain(*found) for found in slices),
        latency_ratio=ratio,
    )


def load_columns(examples: Examples) -> list[str]:
    """Return the columns of the examples that a caller could send: those of a post, and its followers."""
    from features.schema import POST

    return [name for name in (*POST, "source", "followers") if name in examples.known.columns]


def _evidence(comparison: Design, candidate: Bundle, scored: report.Judgement, uses: int, **measured: Any) -> Evidence:
    promise = scored.promise(float(candidate.meta["recipe"]["coverage"]))
    accounts = len(np.unique(scored.account))
    # Few accounts can agree by chance; the error is never taken below that of as many independent posts.
    least = float(np.sqrt(promise.promised * (1 - promise.promised) / accounts))
    loads = checks.loads(candidate)
    return Evidence(
        comparison,
        posts=len(scored.truth),
        accounts=accounts,
        loads=loads.passed,
        loads_detail=loads.detail,
        coverage=promise.kept,
        coverage_error=max(promise.error if np.isfinite(promise.error) else 0.0, least),
        promised=None if promise.check == "intervals" else promise.promised,
        holdout_uses=uses,
        **measured,
    )


def _iso(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
