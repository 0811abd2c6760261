"""Semantic versions of models: what a reader may conclude from a version's number."""

from __future__ import annotations

import re
from enum import StrEnum

from features.errors import RegistryError

_FORM = re.compile(r"(\d+)\.(\d+)\.(\d+)")


class Change(StrEnum):
    """How a new version differs from those before it."""

    SCHEMA = "schema"  # the features or the target: callers may see other numbers for the same posts
    RETRAIN = "retrain"  # a full retrain, which may have chosen another recipe
    REFRESH = "refresh"  # the same recipe on newer rows


def parse(semver: str) -> tuple[int, int, int]:
    """The three numbers of a version, which sort as versions do."""
    found = _FORM.fullmatch(semver)
    if found is None:
        raise RegistryError(f"{semver!r} is not a semantic version such as 1.4.2")
    major, minor, patch = (int(number) for number in found.groups())
    return major, minor, patch


def next_semver(highest: str | None, change: Change) -> str:
    """The number of the version that follows the highest one so far.

    >>> next_semver(None, Change.RETRAIN), next_semver("1.4.2", Change.REFRESH)
    ('1.0.0', '1.4.3')
    >>> next_semver("1.4.2", Change.RETRAIN), next_semver("1.4.2", Change.SCHEMA)
    ('1.5.0', '2.0.0')
    """
    if highest is None:
        return "1.0.0"
    major, minor, patch = parse(highest)
    match change:
        case Change.SCHEMA:
            return f"{major + 1}.0.0"
        case Change.RETRAIN:
            return f"{major}.{minor + 1}.0"
        case Change.REFRESH:
            return f"{major}.{minor}.{patch + 1}"
