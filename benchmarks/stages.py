"""How long each stage of a command takes, its functions wrapped from outside: the rooms know nothing of it."""

from __future__ import annotations

import functools
import importlib
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from training.parallel import THREAD_NAME


class Clock:
    """Seconds by stage; a stage within another is not counted in the outer one.

    Each thread is timed by itself, but fits side by side belong to the stage that waits for them.
    """

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._local = threading.local()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a block as part of a stage."""
        if threading.current_thread().name.startswith(THREAD_NAME):
            yield
            return
        within = self._local.__dict__.setdefault("within", [0.0])  # seconds of the stages inside each open one
        within.append(0.0)
        started = time.perf_counter()
        try:
            yield
        finally:
            taken = time.perf_counter() - started
            self.seconds[name] += taken - within.pop()
            within[-1] += taken

    def wrap(self, stages: Mapping[str, Sequence[str]]) -> None:
        """Time functions and methods, named `module:function` or `module:Class.method`, wherever they were imported."""
        for stage, names in stages.items():
            for name in names:
                module, _, path = name.partition(":")
                owner, _, attribute = path.rpartition(".")
                home = importlib.import_module(module)
                home = getattr(home, owner) if owner else home
                plain = getattr(home, attribute)
                timed = self._timed(plain, stage)
                setattr(home, attribute, timed)
                for user in [] if owner else list(sys.modules.values()):
                    if getattr(user, "__dict__", {}).get(attribute) is plain:
                        setattr(user, attribute, timed)

    def _timed(self, plain: Callable[..., Any], stage: str) -> Callable[..., Any]:
        @functools.wraps(plain)
        def timed(*arguments: Any, **named: Any) -> Any:
            with self.stage(stage):
                return plain(*arguments, **named)

        return timed
