"""From a bundle to a model that answers posts, and from what callers send to the posts it answers.

Every way to serve a bundle goes through here: `mlflow models serve`, the fresh process of check 5, rollback.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import polars as pl

from features.errors import BundleError, SchemaError, quoted
from features.parsing import parse
from features.schema import COUNTS, IMPORT, OUTCOMES, values_required
from registry.bundle import Bundle, open_bundle

TOLERANCE = 1e-9
NUMBERS = (*COUNTS, "duration_s")
_FAULTS_SHOWN = 5
_NEVER_SENT = (*OUTCOMES, "observed_at")


class Model(Protocol):
    """What is opened from a bundle."""

    def predict(self, posts: pl.DataFrame) -> pl.DataFrame:
        """Forecast posts in the import format, one row for each in the same order."""
        ...


@dataclass(frozen=True)
class Loaded:
    """A model together with the bundle that it was opened from."""

    bundle: Bundle
    model: Model

    def predict(self, posts: pl.DataFrame) -> pl.DataFrame:
        """Forecast posts in the import format, one row for each in the same order."""
        answer = self.model.predict(posts)
        if not answer["post_id"].equals(posts["post_id"]):
            raise BundleError(
                f"{self.bundle.folder}: the model did not answer the posts it was asked, in their order; "
                "this version cannot serve, go back to another one: clipcast rollback"
            )
        return answer


def load(folder: Path, sha256: str | None = None) -> Loaded:
    """Open a bundle and its model, after checking every file.

    Raises
    ------
    BundleError
        The bundle is not the one asked for, or was made for features that this clipcast does not know.
    """
    from training.task import load_model

    bundle = open_bundle(folder, sha256)
    return Loaded(bundle, load_model(folder, dict(bundle.meta)))


def posts_of(columns: Mapping[str, Sequence[Any]], platform: str) -> pl.DataFrame:
    """Check raw values of the import format, and give them their types.

    Texts and times are strings, numbers are numbers, `None` is unknown; only the identifiers and `published_at`
    have to be there.

    Raises
    ------
    SchemaError
        Names the columns that do not exist, or the first rows with the column and what is wrong in it.
    """
    unknown = [name for name in columns if name not in IMPORT]
    missing = [name for name in values_required(for_prediction=True) if name not in columns]
    if unknown or missing:
        faults = [f"unknown column {quoted(name)}" for name in unknown] + [f"missing column {name}" for name in missing]
        raise SchemaError(f"{', '.join(faults)}; the import format has {', '.join(IMPORT)}")
    raw = pl.DataFrame([_series(name, columns[name]) for name in IMPORT if name in columns])
    if raw.is_empty():
        raise SchemaError("there are no posts to forecast; send at least one")
    parsed = parse(raw.with_row_index("row", offset=1), for_prediction=True)
    if parsed.rejects.height:
        raise SchemaError(_describe(parsed.rejects))
    others = parsed.clean.filter(pl.col("platform") != platform)["platform"].unique().sort().to_list()
    if others:
        raise SchemaError(f"this model is for posts on {platform}, not on {', '.join(others)}; ask that platform's")
    return parsed.clean


def posts_of_rows(rows: Sequence[Mapping[str, Any]], platform: str) -> pl.DataFrame:
    """The same for posts that come as one mapping each, such as JSON."""
    names = dict.fromkeys(name for row in rows for name in row)
    return posts_of({name: [row.get(name) for row in rows] for name in names}, platform)


def make_example(model: Model, posts: pl.DataFrame) -> dict[str, Any]:
    """Posts and what the model answers for them, as plain JSON to be stored in its bundle.

    The answer is that to the posts as a caller could send them: without their outcomes and source.
    """
    names = [name for name in IMPORT if name in posts.columns and name not in _NEVER_SENT]
    rows = [
        {name: _json(value) for name, value in row.items() if value is not None}
        for row in posts.select(names).to_dicts()
    ]
    answer = model.predict(posts_of_rows(rows, rows[0]["platform"]))
    return {"rows": rows, "expected": [{k: _json(v) for k, v in row.items()} for row in answer.to_dicts()]}


def differences(loaded: Loaded) -> list[str]:
    """How the model's answer differs from the example stored with it; nothing when it is reproduced."""
    example = loaded.bundle.meta.get("example")
    if not example or not example.get("rows"):
        return ["the bundle holds no example to reproduce"]
    answer = loaded.predict(posts_of_rows(example["rows"], loaded.bundle.meta["platform"])).to_dicts()
    return [
        f"{expected.get('post_id')}: {name} is {found.get(name)!r}, expected {value!r}"
        for found, expected in zip(answer, example["expected"], strict=True)
        for name, value in expected.items()
        if not _is_equal(found.get(name), value)
    ]


def _series(name: str, values: Sequence[Any]) -> pl.Series:
    try:
        return pl.Series(name, values, pl.Float64 if name in NUMBERS else pl.String)
    except (TypeError, pl.exceptions.PolarsError) as error:
        kind = "numbers" if name in NUMBERS else "text"
        raise SchemaError(f"column {name} must hold {kind} or nothing: {error}") from error


def _describe(rejects: pl.DataFrame) -> str:
    shown = [
        f"row {row}, {name}: {why}"
        for row, name, why in rejects.head(_FAULTS_SHOWN).select("row", "column", "reason").rows()
    ]
    more = f"; and {rejects.height - len(shown)} more rows" if rejects.height > len(shown) else ""
    return f"{'; '.join(shown)}{more}; correct these and send the posts again"


def _json(value: Any) -> Any:
    """A cell as plain JSON; unknown numbers become `None`."""
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _is_equal(found: Any, expected: Any) -> bool:
    if isinstance(found, float) and isinstance(expected, int | float):
        return math.isclose(found, expected, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return bool(_json(found) == expected)
