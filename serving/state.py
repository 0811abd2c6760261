"""Addresses that tell how the service is: for people, load balancers and Prometheus."""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import Any

from fastapi import FastAPI
from starlette.responses import Response

from features.errors import RegistryError
from monitoring.accuracy import Accuracy, overall, read_accuracies
from serving.app import Service
from serving.health import Health, health_of, models_of

_log = logging.getLogger(__name__)


def add_state(app: FastAPI, service: Service) -> None:
    """Add the addresses to the app."""

    @app.get("/health", responses={503: {"model": Health, "description": "Nothing to answer with."}})
    async def health(response: Response) -> Health:
        """Tell what serves, since when, and what is not as it should be."""
        found = health_of(service.versions.deployed, service.log.state)
        response.status_code = 503 if found.status == "empty" else 200
        return found

    @app.get("/models")
    async def models() -> dict[str, Any]:
        """Describe every version in memory."""
        return {"models": models_of(service.versions.deployed)}

    @app.get("/metrics", response_class=Response)
    async def metrics() -> Response:
        """Return counters and times in Prometheus' text format."""
        return Response(service.measures.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/ml_health")
    async def ml_health() -> dict[str, Any]:
        """Tell how many models are loaded, how quick they are, and how right they were."""
        accuracies = _accuracies(service)
        return {
            "models_loaded": len(service.versions.deployed.champions),
            "inference_latency_ms": service.measures.latency_ms(),
            "prediction_accuracy": overall(accuracies),
            "prediction_accuracy_by_model": {model: asdict(each) for model, each in accuracies.items()},
            "cache_hit_rate": service.measures.hit_rate,
        }


def _accuracies(service: Service) -> dict[str, Accuracy]:
    """Return how right the models were; a file that cannot be read is no reason to tell nothing else."""
    try:
        return read_accuracies(service.settings.accuracy_file)
    except RegistryError as error:
        _log.warning("%s", error)
        return {}
