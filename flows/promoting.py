"""What `clipcast promote` does: look at the challenger in production, and hand what was seen to the gate."""

from __future__ import annotations

from datetime import date

from features.errors import ClipcastError, NotEnoughDataError, quoted
from features.schema import Platform
from features.settings import Settings
from flows.job import end_of, logical_date, whoami
from flows.watching import look_as_of
from monitoring.evidence import observed_in
from registry.gate import GateRules
from registry.places import Registry
from registry.production_evidence import pair_of, promote_challenger
from registry.tracking import model_name
from training.performance_model import FAMILY


def promote(model: str, day: date | None) -> str:
    """Promote a model's challenger by what production showed until the end of a day, and say so."""
    compared = [model_name(str(platform), FAMILY) for platform in Platform]
    if model not in compared:
        raise ClipcastError(f"{quoted(model)} is not compared in production; name one of {', '.join(compared)}")
    settings, day = Settings.load(), logical_date(day)
    registry = Registry.open(settings)
    pair_of(registry, model)  # a look takes seconds, and without a challenger there is nothing to look for
    look = look_as_of(settings, model, end_of(day))
    if look is None:
        raise NotEnoughDataError(f"nobody has asked {model} anything by {day}; start the service: clipcast serve")
    rules = GateRules.from_settings(settings)
    row = promote_challenger(registry, model, observed_in(look), rules, who=whoami(), logical_date=day)
    return f"{row.model} is now at {row.semver} (version {row.version}): {row.reason}"
