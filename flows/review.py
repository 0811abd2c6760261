"""The monthly job: estimators compared on the same folds, a written report, and the winner sent to the gate."""

from __future__ import annotations

from pathlib import Path

from flows.challenge import Challenge, champion_of, train
from flows.job import Job, Outcome
from flows.retrain import change_of, sealed, search
from training.ladder import markdown_table
from training.tune import Tuned


def review(job: Job) -> Outcome:
    """Search every estimator within a share of the budget, write the comparison down, and challenge with the best."""
    job.watcher.say("building rows")
    examples = job.examples()
    split = sealed(job, examples)
    champion = champion_of(job)
    compared = job.task.compared
    trials = max(1, job.trials // len(compared))
    found = {name: search(job, examples, split, champion, name, trials) for name in compared}
    winner = min(found.values(), key=lambda tuned: tuned.score)
    path = write_review(job, found, winner)
    job.watcher.say(f"compared {', '.join(compared)}: {winner.recipe.estimator} errs least; written to {path}")
    trained = train(job, examples, split, winner.recipe, len(winner.trials))
    return Challenge(job, examples, trained, champion, change_of(job, examples, champion)).settle()


def write_review(job: Job, found: dict[str, Tuned], winner: Tuned) -> Path:
    """Write what was compared, by what, and what came of it."""
    rows = [
        [name, f"{tuned.score:.4f}", str(len(tuned.trials)), _parameters(tuned)]
        for name, tuned in sorted(found.items(), key=lambda item: item[1].score)
    ]
    text = (
        f"# Architecture review: {job.name}, {job.day.isoformat()}\n\n"
        f"Data {job.data_hash[:12]}. Every estimator was searched on the same forward-chaining folds before the "
        f"holdout, and is listed with its best {job.task.error} there.\n\n"
        + markdown_table(["Estimator", job.task.error, "Trials", "Parameters"], rows)
        + f"\n\n{winner.recipe.estimator} enters the gate.\n"
    )
    path = job.settings.home / "reviews" / f"{job.name}-{job.day.isoformat()}.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def _parameters(tuned: Tuned) -> str:
    return ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in tuned.recipe.parameters.items()
    )
