"""Rows of a file as they are: batches in flat memory, with their row numbers, nothing interpreted.

Row 1 is the first row of data: the one below the header of a CSV file. Blank lines are not counted.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow as pa

from features.errors import ImportFileError

BLOCK_BYTES = 4 << 20
"""How much of a CSV file is parsed at a time; no single row may be longer. Arrow reads 32 blocks ahead."""

BATCH_ROWS = 100_000
"""How many rows of a parquet file are read at a time."""

BATCH_BYTES = 256 << 20
"""About how much these may hold, if that is less."""

UNSPLIT: dict[str, pl.DataType] = {"row": pl.Int64(), "reason": pl.String(), "line": pl.String()}

Progress = Callable[[float], None]
"""Told now and then which share of the work is done, from 0 to 1."""


@dataclass(frozen=True)
class RawBatch:
    """Some rows of a file.

    Attributes
    ----------
    frame
        The column ``row`` and the file's own columns. Those of a CSV file are all text, empty being null.
    unsplit
        Rows that do not have as many values as the header, as text.
    """

    frame: pl.DataFrame
    unsplit: pl.DataFrame


@contextmanager
def arrow_errors(path: Path) -> Iterator[None]:
    """Tell what arrow could not read in words that name the file and the next step."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise ImportFileError(f"{path}: the header is not UTF-8; save the file as UTF-8") from error
    except pa.ArrowInvalid as error:
        raise ImportFileError(f"{path}: {_arrow_reason(str(error))}") from error
    except OSError as error:
        raise ImportFileError(f"{path}: broken or cut short ({error}); send the file again") from error


def _arrow_reason(message: str) -> str:
    """Arrow's reason for giving up, in plain words."""
    if "Empty CSV" in message:
        return "the file holds no rows"
    return f"cannot be parsed ({message.strip()[:200]}); send the file again"
