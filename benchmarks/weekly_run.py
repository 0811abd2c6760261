"""Where the time of a weekly run goes: `python benchmarks/weekly_run.py POSTS.csv.gz --platform instagram`.

The posts are imported into an empty workspace and the flow is run on them once, each in a process of its own, with the
functions at the edges of every stage timed from outside.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import processes
from stages import Clock

ORCHESTRATION, TRACKING, DVC = "orchestration (Prefect)", "tracking (MLflow)", "data versions (DVC)"
OVERHEAD = (ORCHESTRATION, TRACKING, DVC)
OVERHEAD_AT_MOST = 0.20
IMPORTS = "imports of clipcast's own rooms"

STAGES = {
    "reading posts": ("features.known:known_posts", "features.sources:import_file"),
    "features": (
        "features.build:featurize",
        "features.fitted:Fitted.fit",
        "features.targets:history_of",
        "training.examples:build_examples",
        "training.examples:read_inputs",
    ),
    "search": ("training.tune:tune",),
    "fits": (
        "training.performance:Performance.fit",
        "training.performance:Performance.out_of_fold",
        "training.virality:Virality.fit",
        "training.virality:Virality.out_of_fold",
    ),
    "judging": (
        "training.report:report_on",
        "training.report:coverage_levels",
        "training.report:engagement_metrics",
        "training.held_out:held_out_accounts",
        "training.virality:Virality.report",
        "training.virality:Virality.told",
        "registry.candidate:evidence_against",
        "registry.candidate:evidence_of_first",
    ),
    "card and pictures": ("registry.description:write_description",),
    "bundles and ledger": ("registry.candidate:pack", "registry.promotion:settle"),
    TRACKING: tuple(
        f"registry.tracking:Tracking.{method}"
        for method in ("ping", "log_run", "register", "get_alias", "set_alias", "set_version_tags")
    ),
    DVC: ("features.versioning:dvc_add",),
    "the rest of the job": ("flows.job:once", "flows.importing:import_files"),
}


def watched(command: list[str], out: Path, began: float) -> None:
    """Run a clipcast command in this process and write the seconds by stage; what no stage took is orchestration."""
    from features.telemetry import silence

    silence()
    clock = Clock()
    with clock.stage(IMPORTS):
        import flows.importing
        import flows.retrain
        from features.settings import Settings
        from flows import cli
    if command[0] == "run":
        from flows.running import quiet_engines

        quiet_engines(Settings.load())
        with clock.stage(TRACKING):
            import mlflow  # noqa: F401  its import is a price of tracking
        with clock.stage(ORCHESTRATION):
            import flows.orchestration  # noqa: F401
    clock.wrap(STAGES)
    sys.argv = ["clipcast", *command]
    try:
        cli.main()
    except SystemExit as end:
        if end.code:
            raise
    clock.seconds[ORCHESTRATION if command[0] == "run" else IMPORTS] += (
        time.time() - began - sum(clock.seconds.values())
    )
    out.write_text(json.dumps(clock.seconds), encoding="utf-8")


def measure(command: list[str], folder: Path, trials: int) -> tuple[processes.Taken, dict[str, float]]:
    """Run a clipcast command in a process of its own and return what it took, and the seconds by stage."""
    out = folder / "stages.json"
    watched_command = [__file__, "--watch", str(out), str(time.time()), *command]
    taken = processes.run(watched_command, processes.workspace(folder, trials))
    return taken, json.loads(out.read_text(encoding="utf-8"))


def show(name: str, taken: processes.Taken, seconds: dict[str, float]) -> None:
    """Print a command's wall time, peak memory and split."""
    print(f"\n{name}: {taken.seconds:.1f} s, {taken.peak_mib / 1024:.2f} GiB at its peak, children included")
    for stage, each in sorted(seconds.items(), key=lambda item: -item[1]):
        if each >= 0.05:
            print(f"  {stage:<34} {each:>7.1f} s {each / taken.seconds:>7.1%}")


def main() -> None:
    """Import the posts, run the weekly flow, and print the split of both."""
    if sys.argv[1:2] == ["--watch"]:
        return watched(sys.argv[4:], Path(sys.argv[2]), float(sys.argv[3]))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("posts", type=Path)
    parser.add_argument("--platform", required=True)
    parser.add_argument("--trials", type=int, default=40)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        importing = measure(["import", str(chosen.posts), "--source", chosen.platform], folder, chosen.trials)
        weekly = measure(["run", "weekly", "--platform", chosen.platform], folder, chosen.trials)
    show("clipcast import", *importing)
    show(f"clipcast run weekly, {chosen.trials} trials, {os.cpu_count()} cores", *weekly)
    overhead = sum(weekly[1].get(stage, 0.0) for stage in OVERHEAD) + importing[1].get(DVC, 0.0)
    share = overhead / (weekly[0].seconds + importing[1].get(DVC, 0.0))
    verdict = "under" if share < OVERHEAD_AT_MOST else "NOT under"
    print(
        f"\norchestration, tracking and DVC, that of the import included: {overhead:.1f} s, {share:.1%} of the weekly "
        f"run: {verdict} {OVERHEAD_AT_MOST:.0%}"
    )
    return None


if __name__ == "__main__":
    main()
