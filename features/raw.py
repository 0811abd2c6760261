"""Opening a file of posts: its kind, its columns, and for parquet their types."""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import polars as pl
import pyarrow as pa
import pyarrow.compute as arrow_compute
import pyarrow.parquet as arrow_parquet

from features.errors import ImportFileError, quoted
from features.raw_batch import BATCH_BYTES, BATCH_ROWS, UNSPLIT, Progress, RawBatch, arrow_errors
from features.raw_csv import CsvFile
from features.schema import IMPORT, LONGEST_BYTES, TIMES, columns_required

KINDS = {".csv": "CSV", ".csv.gz": "gzip", ".parquet": "parquet"}
_MAGIC = {b"\x1f\x8b": "gzip", b"PAR1": "parquet"}


class RawFile(Protocol):
    """A file that gives its rows in batches."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns as they stand in the file."""

    def check_types(self) -> None:
        """Refuse columns whose type cannot hold what the import format asks for."""

    def batches(self, progress: Progress) -> Iterator[RawBatch]:
        """Yield the rows in the order of the file."""


def open_raw(path: Path, *, for_prediction: bool = False) -> RawFile:
    """Open a file of posts and check its kind and columns; rows are read later."""
    kind = _kind(path)
    raw: RawFile = ParquetFile.open(path) if kind == "parquet" else CsvFile.open(path, compressed=kind == "gzip")
    _check_columns(path, raw.columns, columns_required(for_prediction=for_prediction))
    raw.check_types()
    return raw


def _kind(path: Path) -> str:
    """The kind of file that the name promises and the first bytes confirm."""
    if not str(path).isprintable():
        raise ImportFileError(f"{quoted(str(path), 1_000)}: the name holds what cannot be shown; rename the file")
    if not path.is_file():
        raise ImportFileError(f"{path}: there is no such file; check the path")
    kind = next((kind for ending, kind in KINDS.items() if path.name.lower().endswith(ending)), None)
    if kind is None:
        raise ImportFileError(f"{path}: not a kind of file that can be read; give {', '.join(KINDS)}")
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        raise ImportFileError(f"{path}: cannot be opened ({error.strerror}); check its permissions") from error
    if not start:
        raise ImportFileError(f"{path}: the file is empty")
    found = next((found for magic, found in _MAGIC.items() if start.startswith(magic)), "CSV")
    if kind != found:
        raise ImportFileError(f"{path}: the name says {kind}, the content is {found}; rename the file or send it again")
    return kind


def _check_columns(path: Path, found: tuple[str, ...], required: tuple[str, ...]) -> None:
    """Refuse a file whose columns are not those of the import format, with the difference."""
    if len(found) == 1 and (separator := next((s for s in ";\t|" if s in found[0]), None)):
        raise ImportFileError(f"{path}: columns are separated by {separator!r}; write the file with commas")
    faults = [f"column {quoted(name)} appears twice" for name in sorted({n for n in found if found.count(n) > 1})]
    faults += [f"unknown column {quoted(name)}{_nearest(name)}" for name in dict.fromkeys(found) if name not in IMPORT]
    faults += [f"column {name!r} is missing" for name in required if name not in found]
    if faults:
        raise ImportFileError(f"{path}: {'; '.join(faults)}; the import format has the columns {', '.join(IMPORT)}")


def _nearest(name: str) -> str:
    """The column that was probably meant, as words to append."""
    near = difflib.get_close_matches(name.strip().lower(), IMPORT, n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


@dataclass
class ParquetFile:
    """A parquet file, read some row groups at a time."""

    path: Path
    columns: tuple[str, ...]
    _file: Any = field(repr=False)

    @classmethod
    def open(cls, path: Path) -> "ParquetFile":
        """Open the file and read its schema."""
        with arrow_errors(path):
            file = arrow_parquet.ParquetFile(path)
        return cls(path, tuple(file.schema_arrow.names), file)

    def check_types(self) -> None:
        """Refuse columns whose type cannot hold what the import format asks for; text is parsed as in CSV."""
        found = pl.DataFrame(pl.from_arrow(self._file.schema_arrow.empty_table())).schema
        faults = [
            f"column {name!r} is {dtype}, expected {_expected(name)}"
            for name, dtype in found.items()
            if not _fits(name, dtype)
        ]
        if faults:
            raise ImportFileError(f"{self.path}: {'; '.join(faults)}; write each column with the type expected")

    def batches(self, progress: Progress) -> Iterator[RawBatch]:
        """Yield the rows, some row groups at a time."""
        total, done = max(self._file.metadata.num_rows, 1), 0
        with self._file, arrow_errors(self.path):
            for batch in self._file.iter_batches(_batch_rows(self._file.metadata)):
                frame = pl.DataFrame(pl.from_arrow(_cut(batch))).with_row_index("row", offset=done + 1)
                done += frame.height
                yield RawBatch(frame.with_columns(pl.col("row").cast(pl.Int64)), pl.DataFrame(schema=UNSPLIT))
                progress(done / total)


def _batch_rows(metadata: Any) -> int:
    """Return how many rows are read at a time: fewer where they are large."""
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    largest = max((group.total_byte_size / max(group.num_rows, 1) for group in groups), default=0)
    return max(1, min(BATCH_ROWS, int(BATCH_BYTES / max(largest, 1))))


def _cut(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Cut texts of which one alone would fill the memory; they stay too long to be taken for whole ones."""
    for position, name in enumerate(batch.schema.names):
        column = batch.column(position)
        if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
            continue
        longest = arrow_compute.max(arrow_compute.binary_length(column)).as_py() or 0
        if longest > LONGEST_BYTES:
            batch = batch.set_column(position, name, arrow_compute.utf8_slice_codeunits(column, 0, LONGEST_BYTES + 1))
    return batch


def _expected(name: str) -> str:
    """The type a column should have, in words."""
    if name in TIMES:
        return "a time with its zone"
    return "text" if IMPORT[name] == pl.String else "a number"


def _fits(name: str, dtype: pl.DataType) -> bool:
    """Whether values of `dtype` can be read as the column's own type."""
    if dtype in (pl.String, pl.Null):
        return True
    if name in TIMES:
        return isinstance(dtype, pl.Datetime) and dtype.time_zone is not None
    if IMPORT[name] == pl.String:
        return isinstance(dtype, pl.Categorical | pl.Enum)
    return dtype.is_numeric()
