"""Work that does not wait for other work: side by side on threads, however many, with the same results."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")

THREAD_NAME = "fit"
"""How the names of the threads begin."""


def in_order(calls: Sequence[Callable[[], Result]], threads: int) -> Generator[Result, None, None]:
    """Yield the result of each call in the order given; closing the iterator drops those not yet begun.

    Boosters leave Python while they learn, so threads are enough. Each learns on one thread of its own: on a
    busy machine that is far faster than sharing every loop between threads, and it keeps their bytes equal.
    """
    if threads <= 1:
        yield from (call() for call in calls)
        return
    with ThreadPoolExecutor(threads, thread_name_prefix=THREAD_NAME) as pool:
        waiting = [pool.submit(call) for call in calls]
        try:
            for future in waiting:
                yield future.result()
        finally:
            for future in waiting:
                future.cancel()
