"""The commands that stay up: the schedule, and MLflow's page."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, cast

from rich.console import Console

from features.safety import mask
from features.settings import Settings
from flows.running import quiet_engines
from flows.server import own_server

if TYPE_CHECKING:
    from prefect.deployments.runner import RunnerDeployment

CRONS = {"daily": "0 5 * * *", "weekly": "0 6 * * 1", "monthly": "0 7 1 * *"}
"""When each flow runs, in UTC; `prefect.yaml` says the same for a work pool."""


def serve_flows(console: Console) -> None:
    """Serve the three deployments until stopped."""
    settings = Settings.load()
    quiet_engines(settings)
    server = own_server(settings, scheduling=True)
    from prefect import serve

    from flows.orchestration import FLOWS

    if server:
        server.wait()
    for name, cron in CRONS.items():
        console.print(f"{name}: {cron} (UTC)")
    deployments = [
        cast("RunnerDeployment", FLOWS[name].to_deployment(name=name, cron=cron)) for name, cron in CRONS.items()
    ]
    serve(*deployments, limit=1)


def serve_ui(port: int, console: Console) -> int:
    """Serve MLflow's page over the workspace's runs and versions until stopped; return its exit code."""
    settings = Settings.load()
    console.print(f"runs and versions of {mask(settings.tracking_uri)}: http://127.0.0.1:{port}")
    command = [sys.executable, "-m", "mlflow", "ui", "--port", str(port)]
    # not as an option: everybody on the machine can read the arguments of a process
    environment = {**os.environ, "MLFLOW_BACKEND_STORE_URI": settings.tracking_uri}
    return subprocess.run(command, env=environment, check=False).returncode
