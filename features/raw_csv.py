"""CSV files of posts, plain or compressed, parsed block by block into text."""

import csv
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.csv as arrow_csv

from features.errors import ImportFileError
from features.raw_batch import BLOCK_BYTES, UNSPLIT, Progress, RawBatch, arrow_errors
from features.schema import IMPORT, Platform

# What only a swallowed row looks like: a line with a platform as one of its values, and a time after it.
_ROW_WITHIN = rf"\n(?:[^\n]*,)?(?:{'|'.join(Platform)}),[^\n]*\d{{4}}-\d\d-\d\d[T ]\d\d:"


@dataclass
class CsvFile:
    """A CSV file, plain or compressed, parsed block by block."""

    path: Path
    compressed: bool
    columns: tuple[str, ...]
    _reader: Any = field(repr=False)
    _invalid: list[Any] = field(repr=False)

    @classmethod
    def open(cls, path: Path, *, compressed: bool) -> "CsvFile":
        """Open the file and parse its first block."""
        invalid: list[Any] = []
        with _csv_errors(path, compressed):
            reader = arrow_csv.open_csv(_stream(path, compressed), **_csv_options(invalid))
            return cls(path, compressed, tuple(reader.schema.names), reader, invalid)

    def check_types(self) -> None:
        """Do nothing: every value of a CSV file is text."""

    def batches(self, progress: Progress) -> Iterator[RawBatch]:
        """Yield the rows, block by block."""
        size_bytes = _plain_bytes(self.path, self.compressed)
        frame = pl.DataFrame(schema={"row": pl.Int64(), **dict.fromkeys(self.columns, pl.String())})
        split, told, done_bytes, last = 0, 0, 0, ""
        with self._reader, _csv_errors(self.path, self.compressed):
            for batch in self._reader:
                raw = pl.DataFrame(pl.from_arrow(batch))
                text, broken = _as_text(raw.insert_column(0, _row_numbers(self._invalid, split, raw.height)))
                split += raw.height
                last = text[-1, -1] or "" if text.height else last
                frame, merged = _unmerged(text)
                unsplit = _unsplit(self._invalid[told:])
                told = len(self._invalid)
                yield RawBatch(frame, pl.concat([unsplit, broken, merged]))
                # What arrow holds per value is an offset of 8 bytes; what the file holds is a comma.
                done_bytes += batch.nbytes - 7 * batch.num_rows * batch.num_columns
                progress(min(done_bytes / size_bytes, 1.0))
            self._check_last_quote(split, last)
            if told < len(self._invalid):
                yield RawBatch(frame.clear(), _unsplit(self._invalid[told:]))

    def _check_last_quote(self, split: int, last_value: str) -> None:
        """Refuse a file that ends inside a quoted value: rows may have vanished into it."""
        end = split + len(self._invalid)
        closing = self._invalid[-1] if self._invalid and self._invalid[-1].number - 1 == end else None
        cut_off = closing.text.count('"') % 2 if closing else "\n" in last_value and self._quotes() % 2
        if cut_off:
            raise ImportFileError(f"{self.path}: row {end} opens a quote that is never closed; repair the file")

    def _quotes(self) -> int:
        """How many quotes the file holds: an even number where each is closed."""
        return sum(block.count(b'"') for block in _blocks(self.path, self.compressed))


@contextmanager
def _csv_errors(path: Path, compressed: bool) -> Iterator[None]:
    """Tell what arrow could not read; of a row too long for it, where that row is."""
    with arrow_errors(path):
        try:
            yield
        except pa.ArrowInvalid as error:
            if "straddl" not in str(error):
                raise
            where = _place(_blocks(path, compressed))
            raise ImportFileError(
                f"{path}: {where}: longer than {BLOCK_BYTES >> 20} MiB, which no post is; probably a quote is never "
                "closed; repair the file"
            ) from error


def _place(blocks: Iterator[bytes]) -> str:
    """Return in words where a record first grows longer than `BLOCK_BYTES`."""
    head = next(blocks)
    row, column = _long_row(chain([head], blocks))
    if row == 0:
        return "the header"
    names = next(csv.reader([head.split(b"\n", 1)[0].decode("utf-8-sig", errors="replace")]))
    return f"row {row}" + (f", column {names[column].strip()}" if column < len(names) else "")


def _long_row(blocks: Iterable[bytes]) -> tuple[int, int]:
    """Return the number of the first record longer than `BLOCK_BYTES`, 0 for the header, and of the value at fault.

    As in arrow, a quote opens a value only at its start, and two within one stand for a single one.
    """
    row = column = size = 0
    quoted, opens = False, True
    for block in blocks:
        for number, piece in enumerate(block.replace(b"\r", b"\n").split(b'"')):
            if number:
                quoted, opens = (False, True) if quoted else (opens, opens)
            lines = [piece] if quoted else piece.split(b"\n")
            for position, line in enumerate(lines):
                if position:
                    row, column, size = row + (size > 0), 0, 0
                if size + len(line) > BLOCK_BYTES:
                    return row, column + (0 if quoted else _value_beyond(line, BLOCK_BYTES - size))
                size += len(line)
                column += 0 if quoted else line.count(b",")
            opens = piece.endswith((b",", b"\n")) if piece and not quoted else opens
    raise RuntimeError(f"no record is longer than {BLOCK_BYTES} bytes")


def _value_beyond(line: bytes, size: int) -> int:
    """Return the position of the value with which a line grows longer than a size."""
    ends = np.cumsum([len(value) + 1 for value in line.split(b",")])
    return int(np.searchsorted(ends, size, side="right"))


def _blocks(path: Path, compressed: bool) -> Iterator[bytes]:
    """Yield the bytes of a file, without its compression, block by block."""
    with _stream(path, compressed) as stream:
        yield from iter(lambda: stream.read(BLOCK_BYTES), b"")


def _stream(path: Path, compressed: bool) -> Any:
    """The bytes of a file, without its compression.

    A stream of arrow's own: it is read ahead by a thread that must not need Python when the program ends.
    """
    file = pa.OSFile(str(path))
    return pa.CompressedInputStream(file, "gzip") if compressed else file


def _plain_bytes(path: Path, compressed: bool) -> int:
    """The size of a file without its compression, which gzip notes, modulo 4 GiB, in its last four bytes."""
    size_bytes = path.stat().st_size
    if not compressed:
        return size_bytes
    with path.open("rb") as file:
        file.seek(-min(4, size_bytes), 2)
        return max(int.from_bytes(file.read(), "little"), size_bytes)


def _csv_options(invalid: list[Any]) -> dict[str, Any]:
    """How CSV is parsed: every value as bytes, empty as null, rows of another width set aside."""

    def set_aside(row: Any) -> str:
        invalid.append(row)
        return "skip"

    return {
        # One thread, since only then does the parser number the rows that it sets aside.
        "read_options": arrow_csv.ReadOptions(use_threads=False, block_size=BLOCK_BYTES),
        "parse_options": arrow_csv.ParseOptions(newlines_in_values=True, invalid_row_handler=set_aside),
        "convert_options": arrow_csv.ConvertOptions(
            column_types=dict.fromkeys(IMPORT, pa.large_binary()),
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=True,
            check_utf8=False,
        ),
    }


def _unsplit(invalid: Iterable[Any]) -> pl.DataFrame:
    """The rows that do not have as many values as the header."""
    rows = [(bad.number - 1, _width_reason(bad), bad.text) for bad in invalid]
    return pl.DataFrame(rows, schema=UNSPLIT, orient="row")


def _width_reason(bad: Any) -> str:
    """Why a row could not be split into columns."""
    reason = f"{bad.actual_columns} values where the header has {bad.expected_columns}"
    lines = bad.text.strip().count("\n") + 1
    return f"{reason}, over {lines} lines: a quote is not closed" if lines > 1 else reason


def _row_numbers(invalid: list[Any], start: int, count: int) -> pl.Series:
    """The numbers of the rows `start` to `start + count` of those that could be split."""
    split = np.arange(start, start + count, dtype=np.int64)
    # Before the k-th row set aside (k from 0, its number n counting the header) stand n - 2 - k split rows.
    before = np.array([bad.number - 2 - k for k, bad in enumerate(invalid)], dtype=np.int64)
    return pl.Series("row", split + 1 + np.searchsorted(before, split, side="right"))


def _as_text(frame: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Bytes as text, and the rows that are not UTF-8."""
    to_text = pl.exclude("row").cast(pl.String)
    try:
        return frame.with_columns(to_text), pl.DataFrame(schema=UNSPLIT)
    except pl.exceptions.ComputeError:
        # Only where something is not UTF-8 is every value looked at by itself.
        values = {name: [_decode(value) for value in frame[name]] for name in frame.columns[1:]}
    broken = np.logical_or.reduce([[wrong for _, wrong in column] for column in values.values()])
    text = pl.DataFrame({name: [value for value, _ in column] for name, column in values.items()})
    faults = _set_aside(text.insert_column(0, frame["row"]).filter(broken), "holds bytes that are not UTF-8")
    return frame.filter(~broken).with_columns(to_text), faults


def _decode(value: bytes | None) -> tuple[str | None, bool]:
    """Bytes as text, with U+FFFD for what is not UTF-8, and whether there was any."""
    if value is None:
        return None, False
    try:
        return value.decode("utf-8"), False
    except UnicodeDecodeError:
        return value.decode("utf-8", errors="replace"), True


def _unmerged(frame: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Part off the rows that swallowed others, where a quote opened in one row is closed in a later one."""
    merged = frame.select(pl.any_horizontal(pl.exclude("row").str.contains(_ROW_WITHIN)).fill_null(False)).to_series()
    return frame.filter(~merged), _set_aside(frame.filter(merged), "runs over several rows: a quote is not closed")


def _set_aside(frame: pl.DataFrame, reason: str) -> pl.DataFrame:
    """Rows of text as rows that could not be split, for one reason."""
    lines = frame.select(
        "row",
        pl.lit(reason).alias("reason"),
        line=pl.concat_str(pl.exclude("row").fill_null(""), separator=","),
    )
    return lines.cast(UNSPLIT)  # type: ignore[arg-type]
