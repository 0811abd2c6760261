"""`production.json`: the small file that tells serving which bundle each model serves from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from features.errors import RegistryError
from registry.bundle import write_atomically

FORMAT = 1


@dataclass(frozen=True)
class Production:
    """A version that serves: the champion, and with it the challenger that may get a share of its traffic.

    `since` is an ISO 8601 time in UTC.
    """

    version: int
    semver: str
    sha256: str
    since: str
    challenger: Production | None = None


def read_production(production_file: Path) -> dict[str, Production]:
    """Read the champion of every model; no file means that nothing was promoted yet.

    Raises
    ------
    RegistryError
        The file cannot be read or is not what this clipcast writes.
    """
    try:
        content = json.loads(production_file.read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise ValueError(f"format {content['format']}, expected {FORMAT}")
        return {model: _parse(entry) for model, entry in content["models"].items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RegistryError(
            f"{production_file} cannot be read ({type(error).__name__}: {error}); move it aside, "
            "and the next clipcast run writes it anew from the ledger"
        ) from error


def write_production(production_file: Path, champions: Mapping[str, Production]) -> bool:
    """Replace the file in one step; answer whether it had to change."""
    content = {"format": FORMAT, "models": {model: asdict(entry) for model, entry in champions.items()}}
    text = (json.dumps(content, sort_keys=True, ensure_ascii=False, indent=1) + "\n").encode()
    found = production_file.read_bytes() if production_file.exists() else None
    if found == text or (found is None and not champions):
        return False
    write_atomically(production_file, text)
    return True


def _parse(entry: Mapping[str, object]) -> Production:
    """One entry, checked for its types: this file may have been edited by hand."""
    fields = dict(entry)
    challenger = fields.pop("challenger", None)
    version, semver, sha256, since = (fields.pop(name) for name in ("version", "semver", "sha256", "since"))
    if fields or not isinstance(version, int) or not all(isinstance(text, str) for text in (semver, sha256, since)):
        raise ValueError(f"{dict(entry)} is not a version in production")
    if challenger is not None and not isinstance(challenger, Mapping):
        raise ValueError(f"{challenger!r} is not a challenger")
    return Production(version, str(semver), str(sha256), str(since), None if challenger is None else _parse(challenger))
