"""The `clipcast` command: thin, and quick to answer, since each command imports what it needs itself."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from features.errors import ClipcastError
from features.safety import as_the_user_usually_writes, print_redacted, protect, redact
from features.schema import Platform
from features.telemetry import silence
from flows.screen import Screen

app = typer.Typer(
    name="clipcast",
    help="Forecasts how a short video will do before it is posted, and keeps those forecasts honest.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
run_app = typer.Typer(help="Run a flow now: daily, weekly or monthly.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(run_app, name="run")

WIDE = 160
"""Columns of a table that goes into a file or a pipe."""

NEEDS_ATTENTION = 3
"""The exit code of `clipcast monitor` where something needs attention."""

console = Screen(width=None if sys.stdout.isatty() else WIDE)
errors = Screen(stderr=True)

Platforms = Annotated[list[Platform] | None, typer.Option("--platform", help="Only this platform; may be repeated.")]
Day = Annotated[
    datetime | None,
    typer.Option("--date", formats=["%Y-%m-%d"], help="The logical date: only what was observed by its end exists."),
]
AsJson = Annotated[str | None, typer.Option("--json", metavar="[FILE]", help="Print JSON, or write it to a file.")]


def main() -> None:
    """Run the command line; an error that clipcast raises on purpose is printed as it stands."""
    silence()
    protect()
    try:
        app(args=_with_optional_file(sys.argv[1:]))
    except ClipcastError as error:
        errors.print(Text.assemble(("error:", "bold red"), f" {redact(str(error))}"))
        raise SystemExit(1) from None
    finally:
        sys.excepthook = print_redacted  # Typer puts its own there


@app.command("import")
def import_(
    files: Annotated[list[Path], typer.Argument(help="CSV, CSV.gz or parquet files in the import format.")],
    source: Annotated[str, typer.Option(help="Where the rows come from; sources are never pooled.")] = "default",
) -> None:
    """Append posts and observations from files to the store."""
    from flows.importing import import_files

    import_files(files, source, console)


@app.command()
def sample(
    seed: Annotated[int, typer.Option(help="The same seed gives the same posts.")] = 7,
    accounts: Annotated[int, typer.Option(help="Accounts per platform.")] = 150,
    weeks: Annotated[int, typer.Option(help="Weeks of posts.")] = 26,
) -> None:
    """Simulate posts of three platforms and append them to the store as source `simulated`."""
    from flows.importing import import_sample

    import_sample(seed, accounts, weeks, console)


@run_app.command()
def daily(platform: Platforms = None, date: Day = None) -> None:
    """Collect what is new, refit each champion's recipe, and promote the refit unless it is worse."""
    _run("daily", platform, date)


@run_app.command()
def weekly(platform: Platforms = None, date: Day = None) -> None:
    """Search each platform's recipe anew, and promote the best when the evidence says so."""
    _run("weekly", platform, date)


@run_app.command()
def monthly(platform: Platforms = None, date: Day = None) -> None:
    """Compare estimators, write the comparison down, and let the best challenge the champion."""
    _run("monthly", platform, date)


@app.command()
def predict(
    file: Annotated[Path, typer.Argument(help="Posts in the import format; outcomes are not needed.")],
    out: Annotated[Path, typer.Option(help="CSV or parquet file to write.")],
    history: Annotated[
        str, typer.Option(help="What is known of earlier posts: `store` or the `version`'s own.")
    ] = "store",
    source: Annotated[str | None, typer.Option(help="The source that the posts are like.")] = None,
    family: Annotated[str, typer.Option(help="What is forecast: `performance` or `virality`.")] = "performance",
) -> None:
    """Forecast posts with the versions in production."""
    from flows.predicting import predict_file

    predict_file(file, out, history, source, console, family)


@app.command()
def backtest(platform: Platforms = None, date: Day = None, json: AsJson = None) -> None:
    """Judge the recipe in production, or the default one, on the latest fifth: constant, account anchor, model."""
    from flows.reporting import backtests

    _show(backtests(platform, date, console, quiet=json is not None), json)


@app.command()
def monitor(platform: Platforms = None, date: Day = None, json: AsJson = None) -> None:
    """Hold predictions against what happened, and say what to do; exit with 3 where something needs attention."""
    from flows.watching import monitor as look

    looks = look([str(each) for each in platform or ()], date.date() if date else None, console, quiet=json is not None)
    _show({"models": [each.to_dict() for each in looks]}, json)
    if any(each.needs_attention for each in looks):
        raise SystemExit(NEEDS_ATTENTION)


@app.command()
def alerts(
    acknowledge: Annotated[int | None, typer.Option(help="The number of an alert that you look after.")] = None,
    json: AsJson = None,
) -> None:
    """Show what monitoring found and is still so, or acknowledge one: it stays, and starts no retraining."""
    from flows.watching import acknowledged, show_alerts, standing_alerts

    if acknowledge is not None:
        console.print(acknowledged(acknowledge))
    found = standing_alerts()
    if json is None:
        show_alerts(found, console)
    _show({"alerts": found}, json)


@app.command()
def status(json: AsJson = None) -> None:
    """Show what is in production: model, version, since when, metrics, data, age."""
    from flows.reporting import show_status, statuses

    found = statuses()
    if json is None:
        show_status(found, console)
    _show({"models": found}, json)


@app.command()
def history(
    model: Annotated[str | None, typer.Argument(help="Only this model, such as clipcast-youtube-performance.")] = None,
    json: AsJson = None,
) -> None:
    """Show every decision in the ledger, oldest first."""
    from flows.reporting import ledger_rows, show_history

    rows = ledger_rows(model)
    if json is None:
        show_history(rows, console)
    _show({"ledger": rows}, json)


@app.command()
def rollback(
    model: Annotated[str, typer.Argument(help="The model, such as clipcast-youtube-performance.")],
    to: Annotated[int | None, typer.Option(help="An earlier champion's version; else the one before.")] = None,
    reason: Annotated[str | None, typer.Option(help="Why, for the ledger.")] = None,
) -> None:
    """Put an earlier champion back into production, after checking that it can serve."""
    from flows.reporting import roll_back

    console.print(roll_back(model, to, reason))


@app.command()
def promote(
    model: Annotated[str, typer.Argument(help="The model, such as clipcast-youtube-performance.")],
    date: Day = None,
) -> None:
    """Let the gate decide about the challenger by what production showed, and promote it if it is better."""
    from flows.promoting import promote as decide

    console.print(decide(model, date.date() if date else None))


@app.command()
def reconcile() -> None:
    """Bring alias, bundles and production file in line with the ledger; exit with 1 where a choice is left to you."""
    from flows.reconciling import put_right

    found = put_right()
    for line in found.mended or ([] if found.problems else ["everything follows the ledger"]):
        console.print(line)
    if found.problems:
        raise ClipcastError("\n".join(found.problems))


@app.command()
def config(json: AsJson = None) -> None:
    """Show every setting."""
    from features.settings import Settings

    described = Settings.load().describe()
    if json is None:
        _print_tree(described)
    _show(described, json)


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Any address but loopback needs a key: clipcast key.")] = None,
    port: Annotated[int | None, typer.Option(help="0 takes a free one.")] = None,
) -> None:
    """Answer forecasts over HTTP with whichever versions are in production, until stopped."""
    from features.settings import Settings
    from serving.lean import without_unused

    given = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    settings = Settings.load(**({"service": given} if given else {}))
    without_unused()
    from serving.server import serve as run

    run(settings)


@app.command()
def key() -> None:
    """Make a key for the service: the key for those who call it, its hash for the settings."""
    from serving.keys import make_key

    made, digest = make_key()
    console.print(f"key:  {made}")
    console.print(f"hash: {digest}")
    console.print(f"let it in: CLIPCAST_SERVICE__API_KEYS='[\"{digest}\"]'; the key is kept nowhere")


@app.command()
def schedule() -> None:
    """Serve the three flows on their schedules until stopped."""
    from flows.scheduling import serve_flows

    serve_flows(console)


@app.command()
def ui(port: Annotated[int, typer.Option(help="Port on this machine.")] = 5000) -> None:
    """Open MLflow's page over runs and versions."""
    from flows.scheduling import serve_ui

    raise SystemExit(serve_ui(port, console))


@app.command()
def readme(
    file: Annotated[Path, typer.Argument(help="The file with the table's markers.")] = Path("README.md"),
) -> None:
    """Write the table of versions in production into a README, from the ledger."""
    from flows.reporting import write_table

    console.print(write_table(file))


@app.command()
def demo(
    folder: Annotated[Path, typer.Option(help="A folder of its own for the demonstration.")] = Path(".clipcast-demo"),
) -> None:
    """Replay two simulated weeks: import, train, gate, promote, answer, challenge, monitor."""
    from flows.demo import run_demo

    run_demo(folder, console)


@app.command(hidden=True)
def stage(name: Annotated[str, typer.Argument(help="featurize, train, evaluate or gate")]) -> None:
    """Run one stage of the reproducible pipeline in dvc.yaml."""
    from flows.stages import run_stage

    run_stage(name, console)


def _run(name: str, platforms: list[Platform] | None, day: datetime | None) -> None:
    from flows.running import run_flow

    chosen = [str(platform) for platform in platforms] if platforms else None
    raise SystemExit(run_flow(name, chosen, day.date() if day else None, console))


def _show(content: Any, target: str | None) -> None:
    """Print or write JSON where it was asked for."""
    if target is None:
        return
    import json

    # Plain ASCII, since a terminal may obey what else stands in texts from outside.
    text = json.dumps(content, indent=2)
    if target == "-":
        sys.stdout.write(text + "\n")
    else:
        with as_the_user_usually_writes():
            Path(target).write_text(text + "\n", encoding="utf-8")


def _print_tree(tree: dict[str, Any], indent: str = "") -> None:
    for name, value in tree.items():
        if isinstance(value, dict):
            console.print(Text.assemble(indent, (name, "bold")))
            _print_tree(value, indent + "  ")
        else:
            console.print(Text.assemble(indent, name, (" = ", "dim"), str(value)))


def _with_optional_file(arguments: list[str]) -> list[str]:
    """Let `--json` stand alone: without a file, `-` means the screen."""
    given = []
    for position, argument in enumerate(arguments):
        given.append(argument)
        following = arguments[position + 1 : position + 2]
        if argument == "--json" and (not following or following[0].startswith("--")):
            given.append("-")
    return given


if __name__ == "__main__":
    main()
