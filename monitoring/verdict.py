"""The verdict of a look as a file: what the service's page shows, read without anything that monitoring needs."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from features.errors import RegistryError

VERDICT = "verdict.json"

LOOK_BACK = timedelta(weeks=26)
"""How long what came of predictions is looked back at."""

ALL = "all"
"""In a row of what came of predictions: every week, version, slice or level of one."""


def read_verdict(file: Path) -> dict[str, Any] | None:
    """Return what `Look.to_dict` told; None where nobody has looked yet.

    Raises
    ------
    RegistryError
        The file is no verdict.
    """
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(found, dict) or "at" not in found:
            raise ValueError("it holds no verdict")
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise RegistryError(f"{file} cannot be read: {error}; the next clipcast monitor writes it anew") from error
    return found
