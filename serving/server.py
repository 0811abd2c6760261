"""The service as a process: one worker that answers until it is told to stop."""

from __future__ import annotations

import logging

import uvicorn

from features.settings import Settings
from serving.app import create_app
from serving.gate import check_exposure
from serving.patience import PatientProtocol

GRACE_S = 20
"""How long requests that have begun may go on after the service is told to stop."""

MOST_AT_ONCE = 1_000
"""Connections beyond these are answered 503 at once, so that those before them are answered at all."""


def serve(settings: Settings) -> None:
    """Answer at the address of the settings until SIGTERM or SIGINT; then finish what has begun."""
    check_exposure(settings.service)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    uvicorn.run(
        create_app(settings),
        host=settings.service.host.strip("[]"),
        port=settings.service.port,
        http=PatientProtocol,
        proxy_headers=False,  # who a caller is, no header of theirs decides
        access_log=False,
        log_config=None,
        server_header=False,
        limit_concurrency=MOST_AT_ONCE,
        timeout_graceful_shutdown=GRACE_S,
    )
