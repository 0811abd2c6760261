"""The service: all that answers requests in one process, and the app around it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version

from fastapi import FastAPI

from features.settings import Settings
from monitoring.log import PredictionLog
from serving.answers import warm
from serving.forecaster import Forecaster
from serving.gate import Gate
from serving.measures import Measures
from serving.problems import MEDIA_TYPE, Problem, tell_problems
from serving.versions import Versions

REFUSALS = (400, 401, 404, 408, 413, 421, 422, 429, 500, 503)
"""What may be answered instead, each a problem."""

COPIES = "serving"
"""Folder of the workspace for copies of what serves."""

MOST_WAITING = 50_000
MOST_BYTES_WAITING = 100 * 2**20
"""Predictions that wait in memory while their database is away, and what they may take there."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Service:
    """All that answers requests, in one process.

    Attributes
    ----------
    hours
        Held by the one call that asks when to post and has its turn.
    """

    settings: Settings
    versions: Versions
    log: PredictionLog
    measures: Measures
    forecaster: Forecaster
    hours: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))

    @classmethod
    def open(cls, settings: Settings) -> Service:
        """Open what the settings name; nothing is loaded yet."""
        service = settings.service
        versions = Versions(
            settings.production_file,
            settings.bundles_dir,
            settings.home / COPIES,
            service.models,
            warm,
            challengers=service.shadow or service.challenger_share > 0,
        )
        log = PredictionLog(settings.predictions_uri, capacity=MOST_WAITING, capacity_bytes=MOST_BYTES_WAITING)
        measures = Measures(lambda: versions.deployed, lambda: log.state)
        forecaster = Forecaster(lambda: versions.deployed, log, measures, settings.service)
        return cls(settings, versions, log, measures, forecaster)

    @contextlib.asynccontextmanager
    async def running(self, _: FastAPI) -> AsyncIterator[None]:
        """Load the versions, follow what is promoted, and at the end write down what is not written yet."""
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1, "upkeep") as upkeep:  # a thread that no request can keep busy
            await loop.run_in_executor(upkeep, self.versions.refresh)
            self.log.start()
            following = asyncio.create_task(self._follow(upkeep))
            try:
                yield
            finally:
                following.cancel()
                await loop.run_in_executor(upkeep, self.log.close)

    async def _follow(self, upkeep: ThreadPoolExecutor) -> None:
        while True:
            await asyncio.sleep(self.settings.service.poll_s)
            try:
                await asyncio.get_running_loop().run_in_executor(upkeep, self.versions.refresh)
            except Exception:  # noqa: BLE001  whatever it is, the next look may succeed
                _log.exception("what is in production could not be looked at")


def create_app(settings: Settings) -> FastAPI:
    """Return the service over the workspace that the settings name."""
    from serving.forecasts import add_forecasts, ask
    from serving.page import add_page
    from serving.state import add_state

    service = Service.open(settings)
    app = FastAPI(
        title="clipcast",
        version=version("clipcast"),
        description="Forecasts how a short video will do before it is posted. Every number comes with its interval.",
        lifespan=service.running,
        responses={status: {"model": Problem, "content": {MEDIA_TYPE: {}}} for status in REFUSALS},
    )
    app.state.service = service
    tell_problems(app)
    add_forecasts(app, service)
    add_state(app, service)
    add_page(app, service, partial(ask, service))
    app.add_middleware(Gate, settings=settings.service, measures=service.measures)
    return app
