"""The daily job: the champion's recipe fitted again to all that has matured."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import numpy as np

from features.columns import Ints
from flows.challenge import Challenge, Champion, champion_of, train
from flows.job import Job, Outcome
from registry.semver import Change
from training.examples import Examples
from training.split import DAY_S, Split


def refresh(job: Job) -> Outcome:
    """Refit the champion's recipe from scratch, and judge both on the newest posts that neither has seen."""
    champion = champion_of(job)
    if champion is None:
        return _idle(job, f"{job.name} has no champion to refit; train one: clipcast run weekly")
    job.watcher.say("building rows")
    examples = job.examples()
    split = newest_half(examples, _unseen(examples, champion), job.settings.outcome.maturity_days)
    if split is None:
        return _idle(job, f"no mature post is newer than {champion.bundle.meta['trained_through']}")
    recipe = replace(champion.recipe, threads=job.settings.threads)
    trained = train(job, examples, split, recipe, 0)
    return Challenge(job, examples, trained, champion, Change.REFRESH).settle()


def _idle(job: Job, reason: str) -> Outcome:
    return Outcome(str(job.platform), "idle", reason, family=job.family)


def newest_half(examples: Examples, unseen: Ints, embargo_days: float) -> Split | None:
    """Judge on the later half of the posts that the champion has not seen; learn from what came before them."""
    if len(unseen) == 0:
        return None
    judged = unseen[len(unseen) // 2 :]
    opens = int(examples.published_s[judged[0]])
    earlier = np.flatnonzero(examples.published_s <= opens - embargo_days * DAY_S)
    return Split(earlier, judged, np.full(len(judged), opens), np.full(len(earlier), opens))


def _unseen(examples: Examples, champion: Champion) -> Ints:
    """Return the rows published after the last one that the champion learned from, in order of publication."""
    through = datetime.fromisoformat(champion.bundle.meta["trained_through"]).timestamp()
    return np.flatnonzero(examples.published_s > through)
