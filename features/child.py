"""Programs that end when the process that started them does, even where that one is killed.

A child holds the reading end of a pipe, the *lifeline*, whose writing end only its parent has: the system closes it
with the parent, however that ends. This file is run by its path, so that it depends on no folder of modules.
"""

import os
import runpy
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def lifeline() -> Iterator[int]:
    """The reading end of a pipe, to be passed to a child; leaving the block ends the child too."""
    reading, writing = os.pipe()
    try:
        yield reading
    finally:
        os.close(writing)
        os.close(reading)


def program(line: int, module: str, *arguments: str) -> list[str]:
    """The command that runs a module as `python -m` does, until it ends or its lifeline is cut."""
    return [sys.executable, "-P", __file__, str(line), module, *arguments]


def _end_with(line: int) -> None:
    os.read(line, 1)
    os._exit(1)


def main(line: str, *command: str) -> None:
    """Run a module with its arguments beside a thread that waits for the parent's end."""
    threading.Thread(target=_end_with, args=(int(line),), daemon=True).start()
    sys.argv = [*command]
    runpy.run_module(command[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
