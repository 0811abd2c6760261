"""The least that could answer: an endpoint of FastAPI that asks a version's boosters about one ready row.

`python benchmarks/service_bare.py BUNDLE PORT`. No features, no check of what is sent, no interval, no log.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import uvicorn
from fastapi import FastAPI

from registry.loading import load
from training.boosters import LightGBMRegressor
from training.performance_model import PerformanceModel


def boosters_of(model: PerformanceModel) -> list[tuple[LightGBMRegressor, np.ndarray]]:
    """Return the boosters of a model, each with a row of its width."""
    members = [*model.core.experts.members.values(), model.core.engagement, model.calibration.spread]
    found = [member for member in members if isinstance(member, LightGBMRegressor)]
    draw = np.random.default_rng(0).normal
    return [(member, draw(size=(1, member.booster.num_feature()))) for member in found]


def main() -> None:
    """Serve on the port given until ended."""
    model = load(Path(sys.argv[1])).model
    assert isinstance(model, PerformanceModel)  # noqa: S101
    boosters = boosters_of(model)
    app = FastAPI()

    @app.post("/predict")
    async def predict() -> list[float]:
        """Ask every booster."""
        return [float(each.booster.predict(row, num_threads=1)[0]) for each, row in boosters]

    uvicorn.run(app, port=int(sys.argv[2]), access_log=False, log_level="error")


if __name__ == "__main__":
    main()
