"""Reading files of posts: validated rows in flat memory, unusable rows set aside with the reason."""

import difflib
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from features.errors import ImportFileError, SchemaError, quoted
from features.parsing import REJECT, parse, unknown_platform
from features.raw import RawFile, open_raw
from features.raw_batch import Progress, RawBatch
from features.schema import IMPORT, Platform, empty, import_schema
from features.space import told_when_full
from features.spreadsheet import guarded

if TYPE_CHECKING:
    import pandera.polars as pa

REJECTS: dict[str, pl.DataType] = {**REJECT, **dict.fromkeys(IMPORT, pl.String()), "line": pl.String()}
"""A row set aside: its number, the column at fault, why, and its raw values; or its raw text in ``line``,
where it could not be split into columns."""

CHUNK_ROWS = 100_000
"""About how many rows are checked and handed on at a time: what each call costs is spread over so many."""

_NAME_BYTES = 140  # of 255 that a name may have; the rest is for source, number and endings

REFUSED_SHARE = 0.5
"""A file with a larger share of unusable rows is refused: it probably means something else than it says."""


def read_posts(path: str | Path, *, for_prediction: bool = False, progress: Progress | None = None) -> "Reading":
    """Open a CSV, CSV.gz or parquet file in the import format; iterate over the answer to read it.

    Parameters
    ----------
    for_prediction
        The file holds posts to predict: outcomes and ``observed_at`` may be absent or empty.
    progress
        Called now and then with the share of the file that is read, from 0 to 1.

    Raises
    ------
    ImportFileError
        The file is missing, of an unknown kind, broken, or has other columns than the import format.
    """
    path = Path(path)
    raw = open_raw(path, for_prediction=for_prediction)
    return Reading(path, raw, for_prediction=for_prediction, progress=progress)


class Reading:
    """One pass over a file: iterating yields frames with the columns of `IMPORT`, and fills the rejects.

    A file that turns out broken, of an unknown platform, empty, or mostly unusable raises `ImportFileError`
    while it is being read, at its end at the latest: whoever stores the frames commits after the last one.

    Attributes
    ----------
    accepted
        Rows yielded so far.
    rejected
        Rows set aside so far.
    """

    def __init__(self, path: Path, raw: RawFile, *, for_prediction: bool, progress: Progress | None) -> None:
        self.path = path
        self.accepted = 0
        self.rejected = 0
        self._raw = raw
        self._for_prediction = for_prediction
        self._progress = progress or _untold
        self._rejects: list[pl.DataFrame] = []
        self._started = False
        self._now = datetime.now(UTC)

    def __iter__(self) -> Iterator[pl.DataFrame]:
        """Read the file, once."""
        if self._started:
            raise RuntimeError(f"{self.path} was already read through; open it again with read_posts")
        self._started = True
        gate = import_schema(for_prediction=self._for_prediction)
        accepted = (self._accept(batch) for batch in self._raw.batches(self._progress))
        for chunk in _gathered(accepted):
            yield _pass(chunk, gate, self.path)
        self._judge()

    def frame(self) -> pl.DataFrame:
        """Read the whole file into one frame."""
        chunks: list[pl.DataFrame] = [empty(IMPORT), *self]
        return pl.concat(chunks)

    def rejects(self) -> pl.DataFrame:
        """The rows set aside so far, in the order of the file."""
        return pl.concat([pl.DataFrame(schema=REJECTS), *self._rejects]).sort("row")

    def write_rejects(self, path: Path) -> Path:
        """Write the rows set aside to a CSV file that shows beside each its number and the reason; return its path.

        Where the rejects of another file lie under that name, the name gets a number.
        """
        content = guarded(self.rejects()).write_csv().encode()
        with told_when_full(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
            path = free_path(path, content)
            temporary = path.with_name(f".{path.name}.tmp")
            temporary.write_bytes(content)
            temporary.replace(path)
        return path

    def _accept(self, batch: RawBatch) -> pl.DataFrame:
        """The usable rows of a batch; the others are kept aside."""
        if unknown := unknown_platform(batch.frame):
            row, name = unknown
            near = difflib.get_close_matches(name.strip().lower(), list(Platform), n=1)
            hint = f"did you mean {str(near[0])!r}?" if near else f"known are {', '.join(Platform)}"
            raise ImportFileError(f"{self.path}: row {row}, column platform: unknown platform {quoted(name)}; {hint}")
        parsed = parse(batch.frame, for_prediction=self._for_prediction, latest=self._now)
        rejects = [frame for frame in (parsed.rejects, batch.unsplit) if frame.height]
        self._rejects += [pl.concat([pl.DataFrame(schema=REJECTS), frame], how="diagonal") for frame in rejects]
        self.accepted += parsed.clean.height
        self.rejected += parsed.rejects.height + batch.unsplit.height
        return parsed.clean

    def _judge(self) -> None:
        """Refuse the file if it held nothing, or mostly rows that cannot be used."""
        total = self.accepted + self.rejected
        if not total:
            raise ImportFileError(f"{self.path}: the file holds no rows")
        if self.rejected > REFUSED_SHARE * total:
            first = self.rejects().row(0, named=True)
            where = f"row {first['row']}" + (f", column {first['column']}" if first["column"] else "")
            value = f" ({quoted(first[first['column']])})" if first["column"] and first[first["column"]] else ""
            raise ImportFileError(
                f"{self.path}: {self.rejected} of {total} rows cannot be used, so nothing was imported; "
                f"the first is {where}: {first['reason']}{value}; repair the file"
            )


def rejects_name(prefix: str, path: Path) -> str:
    """Return the name of the file that shows what was set aside of another; no longer than a file system lets it be.

    >>> rejects_name("mine", Path("in/posts.csv"))
    'mine-posts.csv.rejected.csv'
    """
    return f"{prefix}-{os.fsencode(path.name)[:_NAME_BYTES].decode(errors='ignore')}.rejected.csv"


def free_path(path: Path, content: bytes | None = None) -> Path:
    """The path itself, or with a number where a file with another content has its name."""
    number, free = 1, path
    while free.exists() and (content is None or free.read_bytes() != content):
        number += 1
        free = path.with_name(f"{number}-{path.name}")
    return free


def _gathered(frames: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Put frames together to chunks of at least `CHUNK_ROWS` rows, the last one apart; none is empty."""
    waiting: list[pl.DataFrame] = []
    for frame in frames:
        waiting.append(frame)
        if sum(part.height for part in waiting) >= CHUNK_ROWS:
            yield pl.concat(waiting, rechunk=True)
            waiting = []
    if any(frame.height for frame in waiting):
        yield pl.concat(waiting, rechunk=True)


def _untold(_share: float) -> None:
    """Progress that nobody watches."""


def _pass(clean: pl.DataFrame, gate: "pa.DataFrameSchema", path: Path) -> pl.DataFrame:
    """Let cleaned rows through the schema; what stops here is a defect of the cleaning, not of the file."""
    import pandera.errors

    try:
        gate.validate(clean, lazy=True)
    except pandera.errors.SchemaErrors as error:
        raise SchemaError(f"{path}: cleaned rows break the schema, please report this: {error}") from error
    return clean
