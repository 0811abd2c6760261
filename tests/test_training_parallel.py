"""Calls side by side."""

import threading
from collections.abc import Callable
from contextlib import closing
from functools import partial

import pytest

from training.parallel import in_order

pytestmark = pytest.mark.parametrize("threads", [1, 3])


def counted(begun: list[int], number: int) -> int:
    begun.append(number)
    return number * number


def test_results_come_in_the_order_of_the_calls(threads: int) -> None:
    calls: list[Callable[[], int]] = [partial(counted, [], number) for number in range(20)]
    assert list(in_order(calls, threads)) == [number * number for number in range(20)]


def test_whoever_stops_listening_stops_what_has_not_begun(threads: int) -> None:
    begun: list[int] = []
    gate = threading.Event()

    def wait(number: int) -> int:
        begun.append(number)
        gate.wait(timeout=5 if number else 0)
        return number

    with closing(in_order([partial(wait, number) for number in range(50)], threads)) as results:
        assert next(results) == 0
        gate.set()
    assert len(begun) < 50


def test_an_error_is_raised_where_its_result_would_have_been(threads: int) -> None:
    results = in_order([lambda: 1, lambda: 1 // 0, lambda: 3], threads)
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)
