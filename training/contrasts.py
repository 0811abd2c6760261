"""Timing contrasts: how far forecasts change with nothing but the moment of publication."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from features.build import featurize
from features.catalogue import CATALOGUE
from features.columns import Floats, Ints, Posts
from features.fitted import Fitted
from features.history import History
from features.rows import Rows
from training.examples import Inputs
from training.experts import EXPERTS, STRANGER_CAPTION, Experts

GRID_HOURS = 7 * np.arange(-12, 12)
"""A week around a post, thinned: seven hours apart it meets every hour of the day once, a weekday 3 or 4 times."""

_BLOCK = 500
_READ_TIMES = np.array([name != STRANGER_CAPTION for name in EXPERTS])  # captions are the same at any hour


def moved(inputs: Inputs, names: list[str], posts: Posts, times_s: Ints) -> Inputs:
    """Return inputs of posts as if they were published at other times, in seconds: only timing columns change.

    Tempo and history stay as they were. They belong to the account's habits, and with them the contrast would ask
    whether to wait instead of at which hour to post.
    """
    columns = [column for column, name in enumerate(names) if name in CATALOGUE and CATALOGUE[name].group == "timing"]
    then = replace(posts, published_s=times_s)
    clock = Rows(then, [""] * len(then), History.empty(), Fitted.empty(), times_s)
    matrix = inputs.matrix.copy()
    matrix[:, columns] = featurize(clock, [names[column] for column in columns])
    return replace(inputs, matrix=matrix)


def timing_contrasts(experts: Experts, names: list[str], posts: Posts, inputs: Inputs) -> Floats:
    """Return what each expert says of posts at their own hour less its mean over the week around them.

    The shape is (rows, experts), in log1p of the primary count; experts are weighed later, as in a forecast.
    """
    contrasts = experts.answers(inputs, asked=_READ_TIMES)
    for start in range(0, len(inputs), _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, len(inputs)))
        copies = np.repeat(rows, len(GRID_HOURS))
        here = posts.take(copies)
        times_s = here.published_s + np.tile(GRID_HOURS * 3600, len(rows))
        answers = experts.answers(moved(inputs.take(copies), names, here, times_s), asked=_READ_TIMES)
        contrasts[rows] -= answers.reshape(len(rows), len(GRID_HOURS), -1).mean(axis=1)
    return contrasts


def evenly_spaced(rows: int, most: int) -> Ints:
    """Return the positions of at most so many of some rows, from the first to the last."""
    return np.linspace(0, rows - 1, min(rows, most)).round().astype(np.int64)
