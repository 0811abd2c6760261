"""Every setting of clipcast in one frozen tree, read at the edges and passed on as an argument.

Places (folders and database addresses) come from the environment, `CLIPCAST_HOME` and so on. Numbers of training and
gate come from `params.yaml`, how the service answers from `config/ml_config.yaml`: the one in the working folder where
there is one, over the one that travels with the package; the environment overrules both, with `__` between the levels
(`CLIPCAST_TRAINING__TRIALS=50`).
"""

import difflib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import parse_qsl, quote, urlencode

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError as NotJsonError

from features.errors import SettingsError
from features.safety import mask

PREFIX = "CLIPCAST_"
PARAMS_FILE = "params.yaml"
SERVICE_FILE = "config/ml_config.yaml"
SERVICE_GROUPS = ("client", "service", "monitoring")
"""Groups that `SERVICE_FILE` holds; `PARAMS_FILE` holds the others."""

_NO_DRIVER = re.compile(r"^postgres(ql)?:")  # would ask for a driver that no extra installs


def _absolute(path: Path) -> Path:
    return path.expanduser().absolute()


def _address(uri: str) -> str:
    if "://" not in uri or uri.startswith("file:"):
        raise ValueError("must be an address: sqlite:///folder/file.db, postgresql+psycopg://host/name or a server's")
    return _NO_DRIVER.sub("postgresql+psycopg:", uri)


def _without_secrets(uri: str) -> str:
    if mask(uri) != uri:
        raise ValueError(
            "must hold no password or key, since the tracking store keeps it with every experiment; give them to the "
            "library of the store, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment"
        )
    return uri


Folder = Annotated[Path, AfterValidator(_absolute)]
DatabaseUri = Annotated[str, AfterValidator(_address)]
Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(gt=0, lt=1)]
Gain = Annotated[float, Field(gt=-1, lt=1)]


class _Group(BaseModel):
    """Numbers that belong together; they have no defaults here, because `params.yaml` holds them."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class OutcomeSettings(_Group):
    """When a post has an outcome, and the age that forecasts speak of."""

    maturity_days: Count
    horizon_days: Count

    @model_validator(mode="after")
    def _mature_by_the_horizon(self) -> Self:
        if self.maturity_days > self.horizon_days:
            raise ValueError("maturity_days must not exceed horizon_days")
        return self


class TrainingSettings(_Group):
    """Budgets of tuning and the shape of cross-validation."""

    trials: Count
    timeout_s: Annotated[float, Field(gt=0)] | None
    folds: Annotated[int, Field(ge=2)]
    holdout_share: Share
    min_posts: Count
    min_accounts: Count
    families: Annotated[tuple[Literal["performance", "virality"], ...], Field(min_length=1)]


class ViralitySettings(_Group):
    """The budget of the virality family, which shares the rest with training."""

    trials: Count


class IntervalSettings(_Group):
    """The share of outcomes that an interval promises to hold."""

    coverage: Share


class GateSettings(_Group):
    """What a challenger has to show before it replaces the champion."""

    min_gain: Gain
    refresh_min_gain: Gain
    refresh_point_gain: Gain
    refresh_min_posts: Count
    slice_min_gain: Gain
    slice_min_posts: Count
    slice_min_accounts: Count
    coverage_slack: Share
    latency_ratio: Annotated[float, Field(ge=1)]
    min_posts: Count
    min_accounts: Count
    anchor_slack: Annotated[float, Field(ge=0, lt=1)]
    replicates: Annotated[int, Field(ge=100)]


class ClientSettings(_Group):
    """How the service is called from Python."""

    endpoint: Annotated[str, Field(pattern=r"^https?://")]
    timeout_s: Annotated[float, Field(gt=0)]
    retry_attempts: Annotated[int, Field(ge=0, le=10)]


class ServiceSettings(_Group):
    """What the service answers, to whom, and within which limits."""

    host: Annotated[str, Field(min_length=1)]
    port: Annotated[int, Field(ge=0, le=65_535)]
    models: tuple[str, ...] | None
    performance: bool
    virality: bool
    posting_time: bool
    page: bool
    challenger_share: Annotated[float, Field(ge=0, le=1)]
    shadow: bool
    poll_s: Annotated[float, Field(gt=0, le=10)]
    cache_entries: Annotated[int, Field(ge=0)]
    max_batch: Count
    max_body_bytes: Count
    max_text_bytes: Count
    requests_per_s: Annotated[float, Field(gt=0)] | None
    api_keys: tuple[Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")], ...]
    allowed_hosts: tuple[str, ...]


class MonitoringSettings(_Group):
    """What monitoring looks at, when it speaks up, and to whom."""

    false_alarm_rate: Share
    window_days: Count
    min_posts: Count
    min_accounts: Annotated[int, Field(ge=5)]
    tolerance: Annotated[float, Field(ge=0, lt=1)]
    sample_posts: Annotated[int, Field(ge=100)]
    cool_down_days: Annotated[float, Field(ge=0)]
    retrain: bool
    # Apprise's addresses hold secrets anywhere, so nothing but their scheme is ever shown
    channels: tuple[Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9+.-]*://")], ...] = Field(repr=False)


class Settings(BaseSettings):
    """All settings, checked and complete: places are absolute and every address is filled in."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        env_ignore_empty=True,
        env_parse_none_str="null",
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        validate_default=True,
    )

    home: Folder = Path(".clipcast")
    data: Folder = Path("data")
    inbox: Folder = Field(default_factory=lambda known: known["home"] / "inbox")
    media: Folder = Field(default_factory=lambda known: known["home"] / "media")
    database_uri: DatabaseUri = Field(default_factory=lambda known: _sqlite(known["home"] / "ledger.db"))
    tracking_uri: DatabaseUri = Field(default_factory=lambda known: _beside(known, "mlflow.db", "clipcast_tracking"))
    studies_uri: DatabaseUri = Field(default_factory=lambda known: _beside(known, "studies.db", "clipcast_studies"))
    predictions_uri: DatabaseUri = Field(
        default_factory=lambda known: _beside(known, "predictions.db", "clipcast_predictions")
    )
    artifacts_uri: Annotated[str, AfterValidator(_without_secrets)] = Field(
        default_factory=lambda known: (known["home"] / "artifacts").as_uri()
    )

    seed: Annotated[int, Field(ge=0)]
    threads: Count
    outcome: OutcomeSettings
    training: TrainingSettings
    virality: ViralitySettings
    intervals: IntervalSettings
    gate: GateSettings
    client: ClientSettings
    service: ServiceSettings
    monitoring: MonitoringSettings

    @classmethod
    def load(cls, **overrides: Any) -> Self:
        """Read environment and files; `overrides` (a command line's options) win over both.

        Raises
        ------
        SettingsError
            A name that does not exist, a value outside its range, or a file that cannot be read.
        """
        ours = [name for name in os.environ if name.upper().startswith(PREFIX)]
        _refuse_unknown("the environment", ours, [_env_name(name) for name in _names()])
        try:
            return cls(**overrides)
        except ValidationError as error:
            raise SettingsError(_explain(error)) from None
        except NotJsonError as error:
            raise SettingsError(_explain_not_json(error, ours)) from None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # the signature is pydantic-settings'
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Say who wins: arguments, environment, the working folder's files, the package's."""
        found = ((name, path) for name in (PARAMS_FILE, SERVICE_FILE) for path in _files(name))
        files = (InitSettingsSource(settings_cls, _read(path, name)) for name, path in found)
        return (init_settings, env_settings, *files)

    @property
    def data_remote(self) -> str | None:
        """Where DVC keeps the versions of the data beside this machine: with the artifacts, if those are on S3."""
        return f"{self.artifacts_uri.rstrip('/')}/dvc" if self.artifacts_uri.startswith("s3:") else None

    @property
    def bundles_dir(self) -> Path:
        """Published bundles, one folder per content hash."""
        return self.home / "bundles"

    @property
    def production_file(self) -> Path:
        """What serving reads: the bundle in production for each model."""
        return self.home / "production.json"

    @property
    def monitoring_dir(self) -> Path:
        """What monitoring found, a folder for each model."""
        return self.home / "monitoring"

    @property
    def accuracy_file(self) -> Path:
        """How right the versions in production were, as last looked at."""
        return self.monitoring_dir / "accuracy.json"

    @property
    def cards_dir(self) -> Path:
        """Model cards and their pictures."""
        return self.home / "cards"

    @property
    def locks_dir(self) -> Path:
        """Lock files between processes."""
        return self.home / "locks"

    @property
    def prefect_home(self) -> Path:
        """The folder that Prefect may call its home."""
        return self.home / "prefect"

    def describe(self) -> dict[str, Any]:
        """Every setting as plain JSON values, with the passwords and keys in addresses masked."""
        described: dict[str, Any] = self.model_dump(mode="json")
        described["monitoring"]["channels"] = [_only_scheme(address) for address in self.monitoring.channels]
        return {name: mask(value) if name.endswith("_uri") else value for name, value in described.items()}


def _sqlite(path: Path) -> str:
    return f"sqlite:///{path}"


def _beside(known: Mapping[str, Any], file: str, schema: str) -> str:
    """Where a tool keeps its tables beside the ledger: in a file of the workspace, or a schema of the same database.

    A schema of its own, because MLflow and Optuna both call the table of their version `alembic_version`.
    """
    uri: str = known["database_uri"]
    return in_schema(uri, schema) if uri.startswith("postgresql") else _sqlite(known["home"] / file)


def in_schema(uri: str, schema: str) -> str:
    """Name a schema of a PostgreSQL database, in which every connection then reads and writes.

    >>> in_schema("postgresql+psycopg://host/name?sslmode=require", "studies")
    'postgresql+psycopg://host/name?sslmode=require&options=-csearch_path%3Dstudies'
    """
    address, _, query = uri.partition("?")
    given = parse_qsl(query, keep_blank_values=True)  # a name may be given several times, as hosts are
    options = [*(value for name, value in given if name == "options"), f"-csearch_path={schema}"]
    pairs = [*(pair for pair in given if pair[0] != "options"), ("options", " ".join(options).strip())]
    return f"{address}?{urlencode(pairs, quote_via=quote)}"


def schema_of(uri: str) -> str | None:
    """Return the schema that `in_schema` put into an address.

    >>> schema_of(in_schema("postgresql+psycopg://host/name", "studies"))
    'studies'
    """
    options = dict(parse_qsl(uri.partition("?")[2])).get("options", "")
    found = re.search(r"-csearch_path=(\w+)$", options)
    return None if found is None else found[1]


def _files(name: str) -> tuple[Path, ...]:
    """Files of that name, the one that wins first."""
    here = Path(name)
    beside = Path(__file__).with_name(here.name)  # in an installed wheel
    packaged = beside if beside.exists() else Path(__file__).parents[1] / name  # in a checkout
    return (here, packaged) if here.exists() and not here.samefile(packaged) else (packaged,)


def _read(path: Path, name: str) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path.absolute()} cannot be read as YAML: {error}") from error
    except yaml.YAMLError as error:
        raise SettingsError(f"{path.absolute()} cannot be read as YAML: {_problem_of(error)}") from None
    if not isinstance(content, dict):
        raise SettingsError(f"{path.absolute()} must hold groups of settings, not {type(content).__name__}")
    _refuse_unknown(str(path.absolute()), _dotted(content), [each for each in _names() if _file_of(each) == name])
    return content


def _problem_of(error: yaml.YAMLError) -> str:
    """What is wrong where in a file, without the lines that YAML quotes, which may hold a secret."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or type(error).__name__
    return f"{problem} in line {mark.line + 1}, column {mark.column + 1}" if mark else problem


def _dotted(tree: Mapping[Any, Any], above: str = "") -> Iterator[str]:
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from _dotted(value, f"{above}{key}.")
        else:
            yield f"{above}{key}"


def _names() -> list[str]:
    """Every setting by its dotted name."""
    names = []
    for name, field in Settings.model_fields.items():
        group = field.annotation
        if isinstance(group, type) and issubclass(group, _Group):
            names += [f"{name}.{leaf}" for leaf in group.model_fields]
        else:
            names.append(name)
    return names


def _file_of(name: str) -> str | None:
    """The file that a setting belongs into; places have none."""
    group = name.partition(".")[0]
    if not Settings.model_fields[group].is_required():
        return None
    return SERVICE_FILE if group in SERVICE_GROUPS else PARAMS_FILE


def _env_name(name: str) -> str:
    return PREFIX + name.replace(".", "__").upper()


def _refuse_unknown(where: str, found: Iterable[str], known: list[str]) -> None:
    for name in sorted(set(found) - set(known)):
        raise SettingsError(f"{where}: {_unknown(name, known)}")


def _unknown(name: str, known: list[str]) -> str:
    name = re.sub(r"(?<=://).*", "***", name)  # an address that stands where a name belongs
    inside = [candidate for candidate in known if candidate.startswith((f"{name}__", f"{name}."))]
    nearest = max(inside or known, key=lambda candidate: _likeness(name.upper(), candidate.upper()))
    return f"there is no setting {name}; the nearest is {nearest}"


def _likeness(one: str, other: str) -> float:
    """How alike two names are, as a whole and in their last part: the group is what people leave out."""
    last_one, last_other = (re.split(r"__|\.", name.removeprefix(PREFIX))[-1] for name in (one, other))
    whole = difflib.SequenceMatcher(None, one, other).ratio()
    return whole + difflib.SequenceMatcher(None, last_one, last_other).ratio()


def _explain(error: ValidationError) -> str:
    """One line for each setting that is unknown, missing or out of range."""
    lines = []
    for problem in error.errors(include_url=False):
        name = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            lines.append(_unknown(name, _names()))
        elif problem["type"] != "default_factory_not_called":  # which follows from another problem
            value = "" if problem["type"] == "missing" else f" = {_shown(name, problem['input'])}"
            lines.append(f"{name}{value}: {problem['msg'].removeprefix('Value error, ')}; set {_places_of(name)}")
    return "\n".join(lines)


def _explain_not_json(error: NotJsonError, ours: Iterable[str]) -> str:
    """Which variables are no JSON, by the group whose value could not be read."""
    group = str(error).partition('field "')[2].partition('"')[0]
    among = sorted(name for name in ours if name.upper().startswith(_env_name(group)))
    return f'{" or ".join(among)} is no JSON; a list is written as ["one", "two"] and a group as {{}}'


def _shown(name: str, value: Any) -> str:
    """A value as an error shows it: nothing but the scheme of what may be a channel's address."""
    if name == "monitoring" or name.startswith("monitoring.channels"):
        return _only_scheme(value) if isinstance(value, str) else "***"
    return mask(str(value))


def _only_scheme(address: str) -> str:
    """Show of an address only its kind.

    >>> _only_scheme("slack://T1/B2/secret"), _only_scheme("secret")
    ('slack://***', '***')
    """
    scheme = re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", address)
    return f"{scheme[0] if scheme else ''}***"


def _places_of(name: str) -> str:
    """Where a setting can be set, in words; a place in a list is set with the list."""
    name = re.sub(r"(\.\d+)+$", "", name)
    leaves = [known for known in _names() if known == name or known.startswith(f"{name}.")]
    return " or ".join([*map(_env_name, leaves), *filter(None, [_file_of(name)])])
