"""The commands that read: status, history, backtest, and the table in the README."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from features.errors import BundleError, ClipcastError
from features.schema import Platform
from features.settings import Settings
from monitoring.verdict import ALL, LOOK_BACK, VERDICT, read_verdict
from registry.gate import GateRules
from registry.ledger import Row
from registry.places import Registry
from training.drawing import PLATFORM_NAMES
from training.ladder import BY_SOURCE, DIGITS, markdown_table

BEGIN, END = "<!-- versions in production: begin -->", "<!-- versions in production: end -->"


SHOWN = {
    "performance": {"r2": "R²", "mae_log": "MAE of log", "accuracy": "accuracy"},
    "virality": {"brier": "Brier score", "anchor_brier": "of the account", "auc": "AUC", "base_rate": "base rate"},
}
"""The metrics by which each family is shown, with their words."""


def statuses() -> list[dict[str, Any]]:
    """Return what is in production for each model, from the ledger."""
    registry = Registry.open(Settings.load())
    with registry.ledger.reading() as book:
        rows = [row for model in book.models() if (row := book.champion(model)) is not None]
    now = datetime.now(UTC)
    return [
        {
            "model": row.model,
            "version": row.version,
            "semver": row.semver,
            "since": row.at.isoformat(),
            "age_days": round((now - row.at).total_seconds() / 86_400, 2),
            "data": row.data_source,
            **_of_bundle(registry, row),
            "bundle_sha256": row.bundle_sha256,
            "metrics": dict(row.metrics),
        }
        for row in rows
    ]


def show_status(found: list[dict[str, Any]], console: Console) -> None:
    """Print what is in production."""
    if not found:
        console.print("nothing is in production yet; import posts and train: clipcast import FILE, clipcast run weekly")
        return
    for family, shown in SHOWN.items():
        if of_family := [each for each in found if _family(each) == family]:
            console.print(_status_table(of_family, shown))
    for each in found:
        if each["problem"]:
            console.print(Text.assemble((f"{each['model']} cannot serve", "red"), f": {each['problem']}"))


def _status_table(found: list[dict[str, Any]], shown: Mapping[str, str]) -> Table:
    """Lay out versions of one family, with the metrics that it is known by."""
    table = Table(box=SIMPLE_HEAD)
    for name in ("model", "version", "since (UTC)", "age", *shown.values(), "data", "data hash"):
        table.add_column(name)
    for each in found:
        table.add_row(
            each["model"],
            f"{each['semver']} (v{each['version']})",
            each["since"][:16].replace("T", " "),
            f"{each['age_days']:.1f} d",
            *(_number(each["metrics"], name) for name in shown),
            each["data"],
            (each["data_hash"] or "unknown")[:12],
        )
    return table


def ledger_rows(model: str | None) -> list[dict[str, Any]]:
    """Return the ledger's rows as plain JSON, oldest first."""
    return [row.to_dict() for row in Registry.open(Settings.load()).ledger.history(model)]


def show_history(rows: list[dict[str, Any]], console: Console) -> None:
    """Print the ledger, one decision a line."""
    if not rows:
        console.print("the ledger is empty: nothing was decided yet")
    for row in rows:
        moved = f"{row['from_version'] or '-'} → {row['to_version'] or '-'}"
        day = f" for {row['logical_date']}" if row["logical_date"] else ""
        words = f" {row['kind']} {moved} ({row['semver']}{day}, {row['who']}): {row['reason']}"
        console.print(Text.assemble(row["at"][:16].replace("T", " "), "  ", (row["model"], "bold"), words))


def roll_back(model: str, to_version: int | None, reason: str | None) -> str:
    """Put an earlier champion back into production and say so."""
    from flows.job import whoami
    from registry.rollback import rollback

    settings = Settings.load()
    row = rollback(
        Registry.open(settings),
        model,
        GateRules.from_settings(settings),
        who=whoami(),
        to_version=to_version,
        reason=reason,
    )
    return f"{row.model} is back at {row.semver} (version {row.version}): {row.reason}"


def backtests(
    platforms: list[Platform] | None, day: datetime | None, console: Console, *, quiet: bool
) -> dict[str, Any]:
    """Fit the recipe in production, or the default one, to the rows before the holdout, and judge it there.

    Looking at a sealed holdout counts as a use of it.
    """
    from features.store import Store
    from flows.job import Job, logical_date

    settings = Settings.load()
    chosen = platforms or Store(settings.data).platforms()
    if not chosen:
        raise ClipcastError(f"there are no posts in {settings.data}; import some: clipcast import FILE")
    when = logical_date(day.date() if day else None)
    return {str(platform): _backtest(Job("backtest", platform, when, settings), console, quiet) for platform in chosen}


def _backtest(job: Any, console: Console, quiet: bool) -> dict[str, Any]:
    from dataclasses import replace

    from flows.challenge import champion_of, judge
    from flows.retrain import sealed, starting_recipe
    from registry.candidate import holdout_hash
    from training.estimators import estimator

    champion = champion_of(job)
    start = starting_recipe(job, "lightgbm")
    recipe = champion.recipe if champion else replace(start, parameters=dict(estimator("lightgbm").defaults))
    examples = job.examples()
    split = sealed(job, examples)
    uses = job.registry.ledger.count_holdout_use(job.name, holdout_hash(examples, split.judge), job.key)
    known = examples.known_by(split.train, split.until_s)
    report = judge(job, job.task.fit(recipe, known, split.train), examples, split, recipe)
    if not quiet:
        whose = f"the recipe in production ({champion.row.semver})" if champion else "the default recipe"
        sources = ", ".join(sorted(set(examples.sources)))
        words = f", {whose}, posts from {sources}; this holdout was used {uses} times"
        console.print(Text.assemble("\n", (job.name, "bold"), words))
        report.ladder.render(console)
    return {**report.ladder.to_dict(), "recipe": recipe.to_dict(), "holdout_uses": uses}


def show_ladder(name: str, ladder: dict[str, Any], console: Console) -> None:
    """Print a ladder kept as JSON: a rung a column, a metric a row."""
    from training.ladder import WORDS

    table = Table(title=f"{name}: {ladder['posts']:,} posts of {ladder['accounts']:,} accounts", box=SIMPLE_HEAD)
    table.add_column("metric")
    for rung in ladder["rungs"]:
        table.add_column(rung["rung"], justify="right")
    for metric in (name for name in WORDS if name in ladder["rungs"][0]):
        table.add_row(WORDS[metric][0], *(_with_ends(rung, metric) for rung in ladder["rungs"]))
    console.print(table)


def write_table(file: Path) -> str:
    """Write the table of versions in production between its markers in a README."""
    text = file.read_text(encoding="utf-8")
    if BEGIN not in text or END not in text:
        raise ClipcastError(f"{file} lacks the lines {BEGIN} and {END} between which the table goes; add them")
    before, rest = text.split(BEGIN, 1)
    _, after = rest.split(END, 1)
    file.write_text(f"{before}{BEGIN}\n{versions_table()}\n{END}{after}", encoding="utf-8")
    return f"the table in {file} is up to date"


def versions_table() -> str:
    """Return the performance versions in production as a markdown table, with the data they speak of.

    Where monitoring has looked, a column tells how far off a model's answers were, of whichever version.
    """
    found = [each for each in statuses() if _family(each) == "performance"]
    names, rows = ["Platform", "Accuracy", "MAE", "R²", "Last updated"], [_table_rows(each) for each in found]
    answered = [_in_production(each["model"]) for each in found]
    if any(answered):
        names.append(f"MAE in production, {LOOK_BACK.days // 7} weeks")
        rows = [
            [[*row, (told or "–") if number == 0 else "–"] for number, row in enumerate(part)]
            for part, told in zip(rows, answered, strict=True)
        ]
    speaks_of = "\n".join(f"- {_speaks_of(each)}" for each in found)
    table = markdown_table(names, list(chain.from_iterable(rows)))
    return f"{table.rstrip()}\n\nMeasured on posts that the judged fit had not seen:\n\n{speaks_of}"


def _in_production(model: str) -> str | None:
    """Say how far off a model's answers were, as monitoring last saw it; None where it has seen nothing mature."""
    verdict = read_verdict(Settings.load().monitoring_dir / model / VERDICT)
    for row in verdict["performance"] if verdict else ():
        if (row["role"], row["week"], row["version"], row["slice"]) == ("champion", ALL, ALL, ALL):
            return f"{row['mae_log']:.3f} on {row['posts']:,} posts"
    return None


def _family(status: dict[str, Any]) -> str:
    return str(status["model"].split("-")[2])


def _table_rows(status: dict[str, Any]) -> list[list[str]]:
    """Return a version's row, and one within each source where there are several."""
    metrics, platform = status["metrics"], PLATFORM_NAMES[status["model"].split("-")[1]]
    within = sorted({name.removeprefix(BY_SOURCE).split(".")[0] for name in metrics if name.startswith(BY_SOURCE)})
    rows = [[platform, *(_number(metrics, name) for name in ("accuracy", "mae_log", "r2")), status["since"][:10]]]
    for source in within:
        numbers = (_number(metrics, f"{BY_SOURCE}{source}.{name}") for name in ("mae_log", "r2"))
        rows.append([f"{platform}, {source} alone", "–", *numbers, status["since"][:10]])
    return rows


def _speaks_of(status: dict[str, Any]) -> str:
    """Say on which posts a version was measured, and which it learned from."""
    posts, accounts = (status["metrics"].get(f"holdout_{name}") for name in ("posts", "accounts"))
    judged = (
        "an unknown number of posts" if posts is None else f"the latest {posts:,.0f} posts of {accounts:,.0f} accounts"
    )
    return f"{status['model']} {status['semver']}: {judged}; in production it has learned from {status['data']}"


def _of_bundle(registry: Registry, row: Row) -> dict[str, str | None]:
    """Return the hash of the data behind a version from its published bundle, and why that cannot be had."""
    from registry.bundle import open_bundle

    try:
        bundle = open_bundle(registry.bundles_dir / str(row.bundle_sha256), row.bundle_sha256)
    except BundleError as error:
        return {"data_hash": None, "problem": str(error)}
    return {"data_hash": str(bundle.meta["data_hash"]), "problem": None}


def _with_ends(rung: dict[str, Any], metric: str) -> str:
    value, low, high = (rung.get(name) for name in (metric, f"{metric}_low", f"{metric}_high"))
    if value is None:
        return "unknown"
    digits = DIGITS.get(metric, 3)
    ends = "" if low is None or high is None else f" ({low:.{digits}f} to {high:.{digits}f})"
    return f"{value:.{digits}f}{ends}"


def _number(metrics: dict[str, Any], name: str) -> str:
    value = metrics.get(name)
    return "unknown" if value is None else f"{value:.{DIGITS.get(name, 3)}f}"
