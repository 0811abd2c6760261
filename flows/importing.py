"""The commands that bring posts into the store: files, and the simulated sample."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from features.errors import ImportFileError
from features.settings import Settings
from features.simulate import SOURCE, World, simulate
from features.sources import import_file
from features.space import told_when_full
from features.store import Appended, Store, check_source
from features.versioning import dvc_add
from flows.screen import set_aside

LABELS_FILE = "labels.parquet"


def import_files(files: list[Path], source: str, console: Console) -> None:
    """Append files to the store one by one, then name the data's new version with DVC once.

    Raises
    ------
    ImportFileError
        Files that could not be used, all named; the others were imported.
    StoreError
        The source has a name that cannot be used.
    """
    check_source(source)
    settings = Settings.load()
    store = Store(settings.data)
    failed: list[str] = []
    for file in files:
        try:
            with _bar(console, file.name) as progress:
                collected = import_file(file, source, store, settings.home / "rejects", progress)
        except ImportFileError as error:
            failed.append(str(error))
            continue
        if collected.appended:
            console.print(f"{file.name}: {words_of(collected.appended)}")
        if collected.rejected:
            console.print(Text.assemble("  ", set_aside(collected.rejected, collected.rejects)))
    if store.manifest().parts:
        _track(settings, console)
    if failed:
        raise ImportFileError("\n".join(failed))


def import_sample(seed: int, accounts: int, weeks: int, console: Console) -> None:
    """Simulate posts, append them to the store as `simulated`, and keep the labels of their episodes beside them."""
    settings = Settings.load()
    console.print(f"simulating {weeks} weeks of {accounts} accounts on three platforms, seed {seed}")
    world = simulate(World(seed=seed, accounts=accounts, weeks=weeks))
    appended = Store(settings.data).append([world.posts], SOURCE)
    with told_when_full(settings.data):
        world.labels.write_parquet(settings.data / LABELS_FILE, statistics=False)
    console.print(f"simulated posts: {words_of(appended)}")
    _track(settings, console)


def words_of(appended: Appended) -> str:
    """Say what an import brought."""
    parts = [f"{appended.posts:,} new posts", f"{appended.observations:,} new observations"]
    if appended.contradictions:
        parts.append(f"{appended.contradictions:,} of them contradict earlier ones, which stand")
    if appended.edits:
        parts.append(f"{appended.edits:,} edited posts kept beside their first form")
    if appended.duplicates:
        parts.append(f"{appended.duplicates:,} rows already known")
    return ", ".join(parts)


def _track(settings: Settings, console: Console) -> None:
    with console.status("naming the version of the data (dvc add)"):
        md5 = dvc_add(settings.data, settings.data_remote)
    console.print(f"data version {Store(settings.data).manifest().hash[:12]} (DVC {md5[:12]})")


@contextmanager
def _bar(console: Console, name: str) -> Iterator[Callable[[float], None]]:
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(name, total=1.0)
        yield lambda share: progress.update(task, completed=share)
