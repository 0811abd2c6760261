"""What a person watches while platforms are worked on side by side."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from rich.console import Console
from rich.text import Text

from flows.job import Watcher


class Board:
    """Prints one line per event, with the seconds since the start and the platform it is about."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._started = time.monotonic()
        self._lock = Lock()
        self._last_trial: dict[str, float] = {}

    def say(self, subject: str, words: str | Text) -> None:
        """Print a line about a platform."""
        with self._lock:
            passed = time.monotonic() - self._started
            self.console.print(Text.assemble((f"{passed:6.1f} s", "dim"), "  ", (f"{subject:<10}", "bold"), " ", words))

    def trial(self, subject: str, done: int, budget: int, best: float) -> None:
        """Print how a search gets on, at most every two seconds and at its end."""
        now = time.monotonic()
        if done == budget or now - self._last_trial.get(subject, 0.0) >= 2.0:
            self._last_trial[subject] = now
            bar = "━" * round(20 * done / budget)
            counted = f" trial {done} of {budget}, lowest error {best:.4f}"
            self.say(subject, Text.assemble((f"{bar:<20}", "green"), counted))

    def watcher(self, subject: str) -> Watcher:
        """Return the watcher of one platform's job."""
        return Watcher(
            say=lambda words: self.say(subject, words),
            advance=lambda done, budget, best: self.trial(subject, done, budget, best),
        )


_boards: list[Board] = []


@contextmanager
def watching(console: Console) -> Iterator[Board]:
    """Show the jobs started inside on a console; Prefect's tasks cannot be handed one as an argument."""
    board = Board(console)
    _boards.append(board)
    try:
        yield board
    finally:
        _boards.remove(board)


def is_watched() -> bool:
    """Whether somebody watches."""
    return bool(_boards)


def watcher_of(subject: str) -> Watcher:
    """Return the watcher for a platform's job: the board's, where somebody is watching."""
    return _boards[-1].watcher(subject) if _boards else Watcher()
