"""The versions that serve: opened by their hash, proven on their own example, and swapped while requests run."""

from __future__ import annotations

import gc
import logging
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from features.errors import BundleError, ClipcastError, RegistryError
from registry.bundle import is_intact, publish
from registry.loading import Loaded, differences, load
from registry.production import Production, read_production, write_production

RETRY_S = 30.0
"""How long a version that was refused is left alone."""

LAST_GOOD = "last_good.json"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Version:
    """A version in memory, ready to answer.

    Attributes
    ----------
    doubt
        Why it is the last good copy that serves, and not what was published.
    """

    name: str
    production: Production
    loaded: Loaded
    doubt: str | None = None

    @property
    def platform(self) -> str:
        """The platform whose posts it forecasts."""
        return str(self.loaded.bundle.meta["platform"])

    @property
    def family(self) -> str:
        """What it forecasts."""
        return str(self.loaded.bundle.meta["family"])

    @property
    def sha256(self) -> str:
        """The hash that names its bundle."""
        return self.production.sha256

    @property
    def model(self) -> Any:
        """The fitted model, of the class that its family says."""
        return self.loaded.model


@dataclass(frozen=True, eq=False)
class Deployed:
    """What serves at one moment.

    Attributes
    ----------
    champions, challengers
        By the name of their model.
    problems
        Why something does not serve, or not from where it should: a sentence by what it is about.
    """

    champions: Mapping[str, Version] = field(default_factory=dict)
    challengers: Mapping[str, Version] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)

    def champion(self, platform: str, family: str) -> Version | None:
        """Return the version in production for a platform."""
        wanted = (platform, family)
        return next((each for each in self.champions.values() if (each.platform, each.family) == wanted), None)

    def __iter__(self) -> Iterator[Version]:
        return iter((*self.champions.values(), *self.challengers.values()))


class Versions:
    """Follows `production.json`, and holds on to what last worked where that cannot be followed.

    Challengers are opened only where they are asked for, since they take as long as champions. A copy of every champion
    that worked is kept in a folder of the service's own, so that a restart without the registry serves it again.
    """

    def __init__(
        self,
        production_file: Path,
        bundles_dir: Path,
        copies_dir: Path,
        models: tuple[str, ...] | None = None,
        warm: Callable[[Version], None] = lambda _: None,
        *,
        challengers: bool = True,
    ) -> None:
        self._production_file = production_file
        self._bundles_dir = bundles_dir
        self._copies_dir = copies_dir
        self._models = models
        self._warm = warm
        self._challengers = challengers
        self._opened = False
        self._refused: dict[str, tuple[float, str]] = {}
        self._copied: dict[str, str] = {}
        self._refreshing = threading.Lock()
        self.deployed = Deployed()

    def refresh(self) -> Deployed:
        """Look at what should serve, open what is new, and let it serve from the next request on."""
        with self._refreshing:
            found = self._found()
            if self._opened:
                _settle_memory()
                self._opened = False
            problems = {**found.problems, **self._keep_copies(found)}
            found = replace(found, problems={about: self._without_places(words) for about, words in problems.items()})
            self.deployed = found
            return found

    def _without_places(self, words: str) -> str:
        """Cut where this workspace lies out of what callers may read; the log keeps it."""
        for place in (self._bundles_dir, self._copies_dir, self._production_file.parent):
            words = words.replace(f"{place}/", "…/")
        return words

    def _found(self) -> Deployed:
        problems: dict[str, str] = {}
        wanted = self._wanted(problems)
        champions, challengers = {}, {}
        for name, production in wanted.items():
            champion = self._champion(name, production, problems)
            if champion is not None:
                champions[name] = champion
            challenger = production.challenger if self._challengers else None
            if challenger is not None and (opened := self._open(f"{name} challenger", name, challenger, problems)):
                challengers[name] = opened
        return Deployed(champions, challengers, problems)

    def _wanted(self, problems: dict[str, str]) -> dict[str, Production]:
        """Return what the production file names; where it cannot be had, what served last."""
        try:
            wanted = read_production(self._production_file)
        except RegistryError as error:
            problems["registry"] = str(error)
            wanted = {}
        if not wanted:
            last = self._last_good()
            if last and "registry" not in problems:
                problems["registry"] = f"{self._production_file.name} is gone; run: clipcast reconcile"
            wanted = last
        chosen = wanted if self._models is None else {name: wanted[name] for name in self._models if name in wanted}
        for name in set(self._models or ()) - set(chosen):
            problems[name] = f"nothing is in production for {name}; train one: clipcast run weekly"
        return chosen

    def _champion(self, name: str, production: Production, problems: dict[str, str]) -> Version | None:
        """Open the champion; the one that served before goes on in place of one that cannot be opened."""
        opened = self._open(name, name, production, problems)
        if opened is not None:
            return opened
        served = self.deployed.champions.get(name)
        if served is None and (last := self._last_good().get(name)) is not None and last.sha256 != production.sha256:
            served = self._open(f"{name} last good", name, last, {})
        if served is not None:
            problems[name] += f"; {served.production.semver} goes on"
        return served

    def _open(self, about: str, name: str, production: Production, problems: dict[str, str]) -> Version | None:
        for served in self.deployed:
            if served.sha256 == production.sha256 and served.name == name:
                return self._still(replace(served, production=production), about, problems)
        until, why = self._refused.get(production.sha256, (0.0, ""))
        if time.monotonic() < until:
            problems[about] = why
            return None
        try:
            version = Version(name, production, *self._load(production.sha256))
            self._warm(version)
        except Exception as error:  # noqa: BLE001  whatever it is, this version cannot serve and others can
            cause = str(error) if isinstance(error, ClipcastError) else f"{type(error).__name__}: {error}"
            why = f"{production.semver} was refused: {cause}"
            self._refused[production.sha256] = time.monotonic() + RETRY_S, why
            problems[about] = why
            _log.warning("%s: %s", about, why, exc_info=not isinstance(error, ClipcastError))
            return None
        self._refused.pop(production.sha256, None)
        self._opened = True
        _log.info("%s: %s is ready (%s)", about, production.semver, production.sha256[:12])
        if version.doubt is not None:
            problems[about] = version.doubt
        return version

    def _still(self, version: Version, about: str, problems: dict[str, str]) -> Version:
        """Return a version that serves already; the copy of one is doubted until it is published whole again."""
        if version.doubt is None:
            return version
        until, _ = self._refused.get(version.sha256, (0.0, ""))
        if time.monotonic() >= until:
            if is_intact(self._bundles_dir / version.sha256, version.sha256):
                return replace(version, doubt=None)
            self._refused[version.sha256] = time.monotonic() + RETRY_S, version.doubt
        problems[about] = version.doubt
        return version

    def _load(self, sha256: str) -> tuple[Loaded, str | None]:
        """Open a bundle from where it was published, or else the copy of it that once served, with the reason."""
        try:
            return _proven(load(self._bundles_dir / sha256, sha256)), None
        except BundleError as error:
            copy = self._copies_dir / sha256
            if not copy.exists():
                raise
            return _proven(load(copy, sha256)), f"serves the last good copy: {error}"

    def _last_good(self) -> dict[str, Production]:
        try:
            return read_production(self._copies_dir / LAST_GOOD)
        except RegistryError as error:
            _log.warning("%s", error)
            return {}

    def _keep_copies(self, found: Deployed) -> dict[str, str]:
        """Keep a copy of each champion that works, and of no other version; return what kept that from being done."""
        wanted = {name: each.sha256 for name, each in found.champions.items()}
        if wanted == self._copied:
            return {}
        try:
            self._copies_dir.mkdir(parents=True, exist_ok=True)
            for each in found.champions.values():
                publish(each.loaded.bundle.folder, self._copies_dir)
            working = {name: replace(each.production, challenger=None) for name, each in found.champions.items()}
            last_good = self._last_good() | working  # another service may serve other models of this workspace
            write_production(self._copies_dir / LAST_GOOD, last_good)
            kept = {each.sha256 for each in last_good.values()}
            for folder in self._copies_dir.iterdir():
                if folder.is_dir() and folder.name not in kept:
                    shutil.rmtree(folder)
        except (OSError, BundleError) as error:
            why = f"no copy of what serves could be kept: {error}; it is tried again"
            _log.warning("%s", why)
            return {"copies": why}
        self._copied = wanted
        return {}


def _proven(loaded: Loaded) -> Loaded:
    """Return a version that reproduces its own example, and refuse any other."""
    if differs := differences(loaded):
        raise BundleError(f"it does not reproduce its stored example ({differs[0]}); go back: clipcast rollback")
    return loaded


def _settle_memory() -> None:
    """Let collections of garbage pass over what is loaded and lives long: a look through it takes 0.1 s each time."""
    gc.unfreeze()  # what was replaced may go now
    gc.collect()
    gc.freeze()
