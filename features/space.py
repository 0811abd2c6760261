"""Disks that are full, told in words that name the place."""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from features.errors import ClipcastError, DiskFullError, VersioningError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_SAID = ("no space left on device", "disk is full", "disk quota exceeded", "file too large")
_VAGUE = ("disk i/o error", "unable to open database file")
_NOTHING_BYTES = 1_000_000


@contextmanager
def told_when_full(*places: Path) -> Iterator[None]:
    """Let an error that comes of a full disk name the place, of those written to, that has the least space left.

    Raises
    ------
    DiskFullError
        In place of whatever a library made of it.
    """
    try:
        yield
    except DiskFullError:
        raise
    except Exception as error:
        place, free = min(((each, _free_bytes(each)) for each in places), key=lambda found: found[1])
        if not any(_is_full(each, free) for each in _chain(error)):
            raise
        raise DiskFullError(
            f"{place}: the disk is full, {free / 1e6:.1f} MB are free; what was written before stands: make room, "
            "then start the same command again"
        ) from error


def _is_full(error: BaseException, free: int) -> bool:
    """Whether an error is that of a full disk, or quotes one: databases and parquet writers keep no number.

    clipcast's own errors quote what strangers wrote, and come of those of libraries; only DVC is quoted alone.
    SQLite's words for a file beside the database that cannot grow could mean worse, unless there is no room.
    """
    ours = isinstance(error, ClipcastError) and not isinstance(error, VersioningError)
    said = "" if ours else str(error).lower()
    telling = _SAID if free > _NOTHING_BYTES else (*_SAID, *_VAGUE)
    return (isinstance(error, OSError) and error.errno in _FULL) or any(words in said for words in telling)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and those that it came of."""
    met: set[int] = set()
    while error is not None and id(error) not in met:
        yield error
        met.add(id(error))
        error = error.__cause__ or error.__context__


def _free_bytes(place: Path) -> int:
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free
