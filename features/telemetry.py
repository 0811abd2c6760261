"""Switch off what the libraries below clipcast would report to their makers."""

import os
from collections.abc import Mapping
from types import MappingProxyType

SILENT: Mapping[str, str] = MappingProxyType(
    {
        "DO_NOT_TRACK": "true",  # Prefect's client, Evidently; MLflow accepts only this spelling
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DVC_NO_ANALYTICS": "1",
        "ITERATIVE_DO_NOT_TRACK": "1",  # the reporter that DVC's helper packages and Evidently share
        "EVIDENTLY_DISABLE_TELEMETRY": "1",  # Evidently's older half has a switch of its own
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "YOLO_OFFLINE": "true",  # Ultralytics neither reports nor fetches weights
    }
)


def silence() -> None:
    """Set the environment so that no library reports usage; call it before any of them is imported.

    An entry point calls this first, since the libraries read the variables when they are imported; child
    processes inherit it. It overrules what the environment says: nothing leaves the machine unasked.
    """
    os.environ.update(SILENT)
