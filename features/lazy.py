"""Properties that are worked out when first asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

Value = TypeVar("Value")


class Lazy(Generic[Value]):
    """A property worked out when first asked for, whose value then stands in the object's dictionary.

    This is `functools.cached_property` as it is from Python 3.12 on. Until then that takes a lock at the first look,
    which costs a single row more than many a feature; two threads may work a value out twice, to the same end.
    """

    def __init__(self, compute: Callable[[Any], Value]) -> None:
        self._compute = compute
        self.__doc__ = compute.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: Any, owner: type | None = None) -> Value:
        value = instance.__dict__[self._name] = self._compute(instance)
        return value
