"""Runs, registered versions and aliases in MLflow, through explicit ids and never through an active run."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import version as installed_version
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from features.errors import BundleError, MissingExtraError, RegistryError
from features.safety import mask, redact
from features.schema import IMPORT, values_required
from registry.address import absolute, making_tables, new_file
from registry.artifacts import check_writable
from registry.bundle import BUNDLE_FILE, Bundle, hash_file, open_bundle
from registry.loading import NUMBERS

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.models import ModelSignature
    from mlflow.tracking import MlflowClient

MODEL_FOLDER = "model"
BUNDLE_TAG = "bundle_sha256"
RUN_KEY_TAG = "run_key"

_BUNDLE_ARTIFACT = "bundle"
_DESCRIBED = ("family", "platform", "schema_hash", "data_hash", "trained_through")
_REQUIREMENTS = ("lightgbm", "mlflow", "numpy", "pandas", "polars", "pyarrow", "scipy")
_SHOWN_AS = {"mlflow.experimentKind": "custom_model_development"}  # MLflow's page opens on the table of runs
_PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
_ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")


def experiment_of(platform: str, family: str = "performance") -> str:
    """The experiment that holds a platform's runs of one family, so that they can be compared side by side."""
    return f"clipcast-{platform}" if family == "performance" else model_name(platform, family)


def model_name(platform: str, family: str) -> str:
    """The registered name of a model."""
    return f"clipcast-{platform}-{family}"


class Tracking:
    """One tracking store and registry.

    Parameters
    ----------
    uri : str
        A database or a server, as `CLIPCAST_TRACKING_URI` names it.
    artifacts_uri : str
        Where new experiments keep their artifacts.
    locks_dir : Path
        Folder of the lock under which a server that is no database is met first.
    """

    def __init__(self, uri: str, artifacts_uri: str, locks_dir: Path) -> None:
        self.uri = absolute(uri)
        self._artifacts_uri = artifacts_uri
        self._locks_dir = locks_dir

    def ping(self) -> None:
        """Raise a clear error now if runs or their files cannot be stored, rather than after an hour of training."""
        check_writable(self._artifacts_uri)
        with self._explained("answer"):
            self._client.search_experiments(max_results=1)

    def log_run(
        self,
        experiment: str,
        run_name: str,
        params: Mapping[str, Any],
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
        artifacts: Path | None = None,
        *,
        run_key: str | None = None,
        started: datetime | None = None,
    ) -> str:
        """Write a run with everything it found, and return its id.

        With a `run_key`, a run that was written before is found again and says from now on what is found now,
        and what a killed process left of one is removed. `started` makes MLflow show the duration.
        """
        with self._explained(f"log the run {run_name}"):
            experiment_id = self._experiment(experiment)
            if run_key is not None and (finished := self._resume(experiment_id, run_name, run_key)):
                self._fill(finished, {}, metrics, tags, artifacts)
                return finished
            known = {**tags, **({} if run_key is None else {RUN_KEY_TAG: run_key})}
            started_ms = None if started is None else int(started.timestamp() * 1000)
            run = self._client.create_run(experiment_id, started_ms, tags=known, run_name=run_name)
            self._fill(run.info.run_id, params, metrics, {}, artifacts)
            self._client.set_terminated(run.info.run_id, "FINISHED")
            return str(run.info.run_id)

    def register(
        self, name: str, bundle_folder: Path, run_id: str, tags: Mapping[str, str], description: str, *, above: int = 0
    ) -> int:
        """Register a bundle as a new version of a model.

        A version that this run registered before is found again, and says from now on what is said now. `above` is the
        highest number that was ever given: a registry that lost the model would count from 1 again.
        """
        bundle = open_bundle(bundle_folder)
        with self._explained(f"register a version of {name}"):
            source = f"{self._client.get_run(run_id).info.artifact_uri}/{MODEL_FOLDER}"
            self._create_model(name)
            found = self._versions(f"name = '{name}'")
            mine = (run_id, source, bundle.sha256)
            if same := [each for each in found if (each.run_id, each.source, each.tags.get(BUNDLE_TAG)) == mine]:
                version = int(same[0].version)
                self._client.update_model_version(name, str(version), description)
                self.set_version_tags(name, version, tags)
                return version
            highest = max((int(each.version) for each in found), default=0)
            while highest < above:  # use up the numbers that were given before; a server asks each for its run
                highest = int(self._client.create_model_version(name, source, run_id).version)
                self._client.delete_model_version(name, str(highest))
            with tempfile.TemporaryDirectory() as temporary:
                folder = _save_model(Path(temporary), bundle, run_id)
                self._client.log_artifacts(run_id, str(folder), MODEL_FOLDER)
            created = self._client.create_model_version(
                name, source, run_id, tags={**_tags_of(bundle), **tags}, description=description
            )
            return int(created.version)

    def get_alias(self, name: str, alias: str) -> int | None:
        """The version that an alias names, `None` where there is no such alias or model."""
        with self._explained(f"look up {name}@{alias}"):
            found = self._found(lambda client: client.get_model_version_by_alias(name, alias))
            return None if found is None else int(found.version)

    def set_alias(self, name: str, alias: str, version: int) -> None:
        """Let an alias name a version."""
        with self._explained(f"set {name}@{alias} to version {version}"):
            self._client.set_registered_model_alias(name, alias, str(version))

    def delete_alias(self, name: str, alias: str) -> None:
        """Remove an alias; removing one that is not there changes nothing."""
        with self._explained(f"delete {name}@{alias}"):
            self._found(lambda client: client.delete_registered_model_alias(name, alias))

    def holds(self, name: str, version: int, sha256: str) -> bool:
        """Whether a version is still registered, and what lies with it is this bundle's description.

        Where a model was deleted altogether, its numbers are given again, to versions of whoever comes next, who can
        also copy a tag.
        """
        with self._explained(f"look up version {version} of {name}"):
            found = self._found(lambda client: client.get_model_version(name, str(version)))
        if found is None or found.tags.get(BUNDLE_TAG) != sha256:
            return False
        with tempfile.TemporaryDirectory() as temporary:
            described = self._fetch(name, version, f"{_BUNDLE_ARTIFACT}/{BUNDLE_FILE}", Path(temporary))
            return described is not None and hash_file(described) == sha256

    def version_tags(self, name: str, version: int) -> dict[str, str]:
        """Everything that a version says of itself."""
        with self._explained(f"look up version {version} of {name}"):
            found = self._found(lambda client: client.get_model_version(name, str(version)))
        if found is None:
            raise RegistryError(f"{name} has no version {version} in {mask(self.uri)}; see clipcast history")
        return dict(found.tags)

    def set_version_tags(self, name: str, version: int, tags: Mapping[str, str]) -> None:
        """Add tags to a version."""
        with self._explained(f"tag version {version} of {name}"):
            for key, value in tags.items():
                self._client.set_model_version_tag(name, str(version), key, value)

    def add_later(
        self, name: str, version: int, metrics: Mapping[str, float], at: datetime, files: tuple[Path, str] | None
    ) -> bool:
        """Add to a version's run what came of it since: metrics at a day, and the files of a folder under a name.

        False where the version is gone. Added again for the same moment nothing is there twice.
        """
        from mlflow.entities import Metric

        with self._explained(f"add to version {version} of {name}"):
            found = self._found(lambda client: client.get_model_version(name, str(version)))
            if found is None or not found.run_id:
                return False
            moment, day = int(at.timestamp() * 1000), at.toordinal()
            measured = [Metric(key, float(value), moment, day) for key, value in sorted(metrics.items())]
            self._client.log_batch(found.run_id, measured)
            if files is not None:
                self._client.log_artifacts(found.run_id, str(files[0]), files[1])
            return True

    def download(self, name: str, version: int, into: Path) -> Path:
        """Fetch the bundle of a version, check it against the version's tag, and return its folder.

        Only the bundle is fetched: whatever else a version holds, a pickle or a loader, is never read.
        """
        sha256 = self.version_tags(name, version).get(BUNDLE_TAG)
        if sha256 is None:
            raise RegistryError(f"version {version} of {name} was not registered by clipcast, and is never loaded")
        into.mkdir(parents=True, exist_ok=True)
        folder = self._fetch(name, version, _BUNDLE_ARTIFACT, into)
        if folder is None:
            raise BundleError(
                f"version {version} of {name} has no bundle among its files any more; choose: go back to "
                "another version (clipcast rollback), or train a new one (clipcast run weekly)"
            )
        return open_bundle(folder, sha256).folder

    def _fetch(self, name: str, version: int, wanted: str, into: Path) -> Path | None:
        """Fetch one of a version's artifacts, a file or a folder; None where the version has none of that name."""
        with self._explained(f"download version {version} of {name}"):
            from mlflow.artifacts import download_artifacts, list_artifacts

            source = self._client.get_model_version_download_uri(name, str(version))
            above, _, last = f"{source}/artifacts/{wanted}".rpartition("/")
            try:
                if last not in {Path(each.path).name for each in list_artifacts(above, tracking_uri=self.uri)}:
                    return None
                return Path(download_artifacts(f"{above}/{last}", dst_path=str(into), tracking_uri=self.uri))
            except Exception as error:  # every kind of store has a library with errors of its own
                raise RegistryError(
                    f"the files of version {version} of {name} cannot be read: {redact(str(error))}; check the "
                    "store of artifacts and its credentials, and who registered the version"
                ) from error

    @cached_property
    def _client(self) -> MlflowClient:
        """MLflow's client, after making or migrating the tables: once at a time, since two would collide."""
        try:
            from mlflow.tracking import MlflowClient
        except ImportError as error:
            raise MissingExtraError("mlflow", "pipeline") from error
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        if self.uri.startswith("postgresql"):
            # training takes longer than some servers and firewalls keep a connection that nobody uses
            os.environ.setdefault("MLFLOW_SQLALCHEMYSTORE_POOLCLASS", "NullPool")
        alone = making_tables(self.uri, self._locks_dir / "tracking.lock", "CLIPCAST_TRACKING_URI")
        with alone, _quiet("alembic", "mlflow.store.db.utils"), _impatient():
            if (new := new_file(self.uri)) is not None:
                _meet(MlflowClient(f"sqlite:///{new}"))
                new.replace(self.uri.removeprefix("sqlite:///"))
            return _meet(MlflowClient(self.uri, registry_uri=self.uri))

    @contextmanager
    def _explained(self, task: str) -> Iterator[None]:
        """Say in clipcast's own errors what MLflow could not do."""
        try:
            from mlflow.exceptions import MlflowException
        except ImportError as error:
            raise MissingExtraError("mlflow", "pipeline") from error
        try:
            yield
        except MlflowException as error:
            cause = redact(error.message).partition("\n")[0]  # a database's statement and values follow
            raise RegistryError(
                f"the tracking store {mask(self.uri)} could not {task}: {cause}; "
                "check CLIPCAST_TRACKING_URI and that the store is up"
            ) from error

    def _found(self, ask: Any) -> Any:
        """The answer to a question about something that may not exist."""
        from mlflow.exceptions import MlflowException

        try:
            return ask(self._client)
        except MlflowException as error:
            if error.error_code in _ABSENT:
                return None
            raise

    def _experiment(self, name: str) -> str:
        """The id of an experiment, made at its first use and taken out of the bin if it was put there."""
        from mlflow.exceptions import MlflowException

        found = self._client.get_experiment_by_name(name)
        if found is None:
            try:
                folder = f"{self._artifacts_uri.rstrip('/')}/{name}"
                return str(self._client.create_experiment(name, folder, tags=_SHOWN_AS))
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
                return self._experiment(name)
        if found.lifecycle_stage == "deleted":
            self._client.restore_experiment(found.experiment_id)
        return str(found.experiment_id)

    def _resume(self, experiment_id: str, run_name: str, run_key: str) -> str | None:
        query = f"tags.{RUN_KEY_TAG} = '{run_key}' and attributes.run_name = '{run_name}'"
        finished = None
        for run in self._client.search_runs([experiment_id], query):
            if run.info.status == "FINISHED":
                finished = str(run.info.run_id)
            else:
                self._client.delete_run(run.info.run_id)
        return finished

    def _fill(
        self,
        run_id: str,
        params: Mapping[str, Any],
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
        artifacts: Path | None,
    ) -> None:
        from mlflow.entities import Metric, Param, RunTag

        now_ms = int(datetime.now(UTC).timestamp() * 1000)
        measured = [Metric(key, float(value), now_ms, 0) for key, value in sorted(metrics.items())]
        chosen = [Param(key, str(value)) for key, value in sorted(params.items())]
        self._client.log_batch(run_id, measured, chosen, [RunTag(key, value) for key, value in tags.items()])
        if artifacts is not None:
            self._client.log_artifacts(run_id, str(artifacts))

    def _create_model(self, name: str) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self._client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _versions(self, query: str) -> list[ModelVersion]:
        found: list[ModelVersion] = []
        token = None
        while True:
            page = self._client.search_model_versions(query, page_token=token)
            found += page
            token = page.token
            if not token:
                return found


def _save_model(temporary: Path, bundle: Bundle, run_id: str) -> Path:
    """Write a bundle as an MLflow model that is loaded from code and files, never from a pickle."""
    import pandas as pd
    from mlflow.models import Model

    example = bundle.meta.get("example")
    if not example:
        raise RegistryError(f"{bundle.folder} holds no example of posts and their forecasts; write one into it")
    posts = pd.DataFrame(example["rows"])
    folder, staged = temporary / MODEL_FOLDER, temporary / _BUNDLE_ARTIFACT
    shutil.copytree(bundle.folder, staged)  # an artifact keeps the name of its folder
    with _quiet("mlflow.pyfunc"):
        _pyfunc().save_model(
            folder,
            python_model=Path(__file__).with_name("pyfunc.py"),
            artifacts={_BUNDLE_ARTIFACT: str(staged)},
            mlflow_model=Model(run_id=run_id),
            model_config={BUNDLE_TAG: bundle.sha256},
            signature=_signature(example["expected"][0]),
            input_example=posts.astype({name: float for name in NUMBERS if name in posts}),
            pip_requirements=[f"{name}=={installed_version(name)}" for name in _REQUIREMENTS],
        )
    for code in folder.rglob("*.py"):
        code.chmod(0o600)  # a copy has the mode that whoever installed clipcast gave the file
    _clean_description(folder)
    return folder


def _pyfunc() -> ModuleType:
    """MLflow's module of that name, whose import warns of its own type hints."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*Any type hint is inferred as AnyType", UserWarning)
        import mlflow.pyfunc
    return mlflow.pyfunc


def _clean_description(folder: Path) -> None:
    """Take out of MLflow's description this machine's paths, and a pickle library that is not used."""
    from mlflow.models import Model

    described = Model.load(folder)
    flavor = described.flavors["python_function"]
    flavor.pop("cloudpickle_version", None)
    flavor["model_code_path"] = Path(flavor["model_code_path"]).name
    for artifact in flavor["artifacts"].values():
        artifact["uri"] = artifact["path"]
    described.save(folder / "MLmodel")


def _signature(answer: Mapping[str, Any]) -> ModelSignature:
    """The import format as MLflow checks it: numbers as double, since its integers cannot be unknown."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema

    required = values_required(for_prediction=True)
    asked = [
        ColSpec(DataType.double if name in NUMBERS else DataType.string, name, required=name in required)
        for name in IMPORT
    ]
    kinds = {str: DataType.string, bool: DataType.boolean}
    answered = [ColSpec(kinds.get(type(value), DataType.double), name) for name, value in answer.items()]
    return ModelSignature(inputs=Schema([*asked]), outputs=Schema([*answered]))


def _tags_of(bundle: Bundle) -> dict[str, str]:
    """What a version says of its bundle: where it comes from, and the sha256 of each file."""
    described = {name: str(bundle.meta[name]) for name in _DESCRIBED if name in bundle.meta}
    files = {f"sha256/{name}": sha256 for name, sha256 in bundle.meta["files"].items()}
    return {BUNDLE_TAG: bundle.sha256, **described, **files}


def _meet(client: MlflowClient) -> MlflowClient:
    """Let MLflow make or migrate what tables its two stores need."""
    client.search_experiments(max_results=1)
    client.search_registered_models(max_results=1)
    return client


@contextmanager
def _impatient() -> Iterator[None]:
    """Let MLflow give up soon on a server that answers with errors or not at all: by itself it tries for minutes."""
    given = {name: value for name, value in _PATIENCE.items() if name not in os.environ}
    os.environ.update(given)
    try:
        yield
    finally:
        for name in given:
            del os.environ[name]


@contextmanager
def _quiet(*names: str) -> Iterator[None]:
    """Leave out what these loggers narrate of their work; warnings and errors stay."""
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.WARNING)
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
