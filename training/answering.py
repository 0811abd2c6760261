"""What every family does to answer posts: read them, join them to a history, and forecast chunks side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import polars as pl

from features.build import chunks, schema_hash
from features.columns import Floats, Ints, Posts
from features.errors import BundleError, SchemaError
from features.fitted import Fitted
from features.history import History
from features.rows import Rows
from features.targets import populations
from training.examples import Inputs, read_inputs
from training.parallel import in_order

Part = TypeVar("Part", covariant=True)


class Answering(Protocol[Part]):
    """A fitted model that forecasts posts from their inputs.

    Attributes
    ----------
    names
        Ordered features.
    sources
        Sources it was trained on; a post of another is read as one of `default_source`.
    history
        The snapshot it travels with.
    """

    @property
    def platform(self) -> str: ...  # noqa: D102  see above
    @property
    def names(self) -> list[str]: ...  # noqa: D102  see above
    @property
    def sources(self) -> tuple[str, ...]: ...  # noqa: D102  see above
    @property
    def default_source(self) -> str: ...  # noqa: D102  see above
    @property
    def history(self) -> History: ...  # noqa: D102  see above
    @property
    def fitted(self) -> Fitted: ...  # noqa: D102  see above

    def forecast(self, inputs: Inputs, names: list[str]) -> Part:
        """Forecast from inputs; `names` are the posts' populations."""


def forecast_posts(
    model: Answering[Part], frame: pl.DataFrame, history: History | None, threads: int
) -> tuple[Posts, list[Part]]:
    """Forecast posts in the import format, a chunk at a time, and return them with the parts of the forecast.

    Raises
    ------
    SchemaError
        The posts are of another platform.
    """
    posts, names = read_posts(model, frame)
    context = (model.history if history is None else history).joined(posts, names)

    def part(cut: slice) -> Part:
        inputs = inputs_for(model, posts.slice(cut.start, cut.stop), names[cut], context)
        return model.forecast(inputs, names[cut])

    calls = [partial(part, cut) for cut in chunks(len(posts))]
    # The first by itself: it works out what all look up in the history, which threads would each do for themselves.
    return posts, [*(call() for call in calls[:1]), *in_order(calls[1:], threads)]


def answer_posts(model: Answering[Part], posts: Posts, *, together: bool) -> tuple[Inputs, Part]:
    """Forecast some posts from the model's own snapshot, and return what was read of them too.

    Posts asked `together` know of one another as those of one frame do; others are each forecast as if asked alone.
    """
    posts = _with_known_sources(model, posts)
    names = populations(posts)
    inputs = inputs_for(model, posts, names, model.history.joined(posts, names) if together else model.history)
    return inputs, model.forecast(inputs, names)


def read_posts(model: Answering[Any], frame: pl.DataFrame) -> tuple[Posts, list[str]]:
    """Read posts in the import format, each with its population.

    Raises
    ------
    SchemaError
        The posts are of another platform.
    """
    posts = _with_known_sources(model, Posts.from_frame(frame))
    if len(posts) and posts.platform != model.platform:
        raise SchemaError(f"this model forecasts {model.platform}; give it no posts of {posts.platform}")
    return posts, populations(posts)


def inputs_for(
    model: Answering[Any], posts: Posts, names: list[str], history: History, known_until_s: Ints | None = None
) -> Inputs:
    """Compute what a model reads of posts of some populations that look back on a history.

    Outcomes are read that were known when a post was published, or by the time given for it, in seconds.
    """
    until_s = posts.published_s if known_until_s is None else known_until_s
    return read_inputs(Rows(posts, names, history, model.fitted, until_s), model.names)


def reads_alike(one: Answering[Any], other: Answering[Any]) -> bool:
    """Whether the inputs computed for one model are those of the other, to the bit."""
    if one.names != other.names or (one.sources, one.default_source) != (other.sources, other.default_source):
        return False
    return one.fitted.to_dict() == other.fitted.to_dict()


def check_schema(folder: Path, meta: Mapping[str, Any]) -> None:
    """Refuse a model made for other features."""
    if meta["schema_hash"] != schema_hash():
        raise BundleError(
            f"the model in {folder} reads features of schema {meta['schema_hash'][:12]}, this clipcast "
            f"builds {schema_hash()[:12]}; install the clipcast it was trained with, or train again: "
            "clipcast run weekly"
        )


def _with_known_sources(model: Answering[Any], posts: Posts) -> Posts:
    known = set(model.sources)
    sources = [source if source in known else model.default_source for source in posts.source]
    return replace(posts, source=sources)


def widest_source(sources: Sequence[str], outcome: Floats) -> str:
    """Return the source whose outcomes spread most: the one least shaped by how its posts were chosen."""
    labels = np.asarray(sources)
    spread = {str(name): float(np.ptp(np.quantile(outcome[labels == name], [0.1, 0.9]))) for name in np.unique(labels)}
    return max(spread, key=lambda name: spread[name])
