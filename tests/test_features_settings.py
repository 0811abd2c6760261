import json
import traceback
from pathlib import Path
from urllib.parse import parse_qsl

import pytest
import yaml
from pydantic import ValidationError

import features.settings
from features.errors import SettingsError
from features.safety import mask
from features.settings import PARAMS_FILE, SERVICE_FILE, Settings, in_schema, schema_of

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("file", [PARAMS_FILE, SERVICE_FILE])
def test_what_a_file_of_settings_says_is_the_default(file: str) -> None:
    shown = Settings.load().describe()
    said = yaml.safe_load((ROOT / file).read_text())
    assert {name: shown[name] for name in said} == said


def test_the_files_name_every_setting_but_places_and_each_in_one_of_them() -> None:
    required = [name for name, field in Settings.model_fields.items() if field.is_required()]
    said = [name for file in (PARAMS_FILE, SERVICE_FILE) for name in yaml.safe_load((ROOT / file).read_text())]
    assert sorted(said) == sorted(required)


def test_the_file_of_the_service_in_the_working_folder_wins_and_holds_nothing_of_training(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = Path(SERVICE_FILE)
    file.parent.mkdir()
    file.write_text("service: {port: 9000}")
    assert Settings.load().service.port == 9000
    assert Settings.load().service.max_batch == 1_000
    monkeypatch.setenv("CLIPCAST_SERVICE__PORT", "9001")
    assert Settings.load(service={"host": "::1"}).service.port == 9001
    file.write_text("training: {trials: 3}")
    with pytest.raises(SettingsError, match=r"there is no setting training\.trials"):
        Settings.load()


def test_everything_mutable_but_the_data_lives_under_home(tmp_path: Path) -> None:
    home = tmp_path / "space here"
    settings = Settings.load(home=home, data=tmp_path / "posts")
    assert settings.data == tmp_path / "posts"
    assert settings.tracking_uri == f"sqlite:///{home}/mlflow.db"
    assert settings.database_uri == f"sqlite:///{home}/ledger.db"
    assert settings.studies_uri == f"sqlite:///{home}/studies.db"
    assert settings.predictions_uri == f"sqlite:///{home}/predictions.db"
    assert settings.artifacts_uri == (home / "artifacts").as_uri()
    for place in (
        settings.inbox,
        settings.bundles_dir,
        settings.production_file,
        settings.cards_dir,
        settings.locks_dir,
        settings.prefect_home,
    ):
        assert place.parent == home


@pytest.mark.parametrize("driver", ["postgresql+psycopg", "postgresql", "postgres"])
def test_one_address_of_a_server_names_the_databases_of_every_tool(
    monkeypatch: pytest.MonkeyPatch, driver: str
) -> None:
    monkeypatch.setenv("CLIPCAST_DATABASE_URI", f"{driver}://me:a%40b@host/db?sslmode=require&options=-cjit%3Doff")
    settings = Settings.load()
    ours = "postgresql+psycopg://me:a%40b@host/db?sslmode=require&options=-cjit%3Doff"
    assert settings.database_uri == ours
    assert settings.tracking_uri == f"{ours}%20-csearch_path%3Dclipcast_tracking"
    assert settings.studies_uri == f"{ours}%20-csearch_path%3Dclipcast_studies"
    assert settings.predictions_uri == f"{ours}%20-csearch_path%3Dclipcast_predictions"


def test_each_tool_can_be_set_apart_and_a_file_elsewhere_moves_no_other(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CLIPCAST_DATABASE_URI", f"sqlite:///{tmp_path}/elsewhere.db")
    monkeypatch.setenv("CLIPCAST_TRACKING_URI", "https://mlflow.example")
    settings = Settings.load()
    assert settings.tracking_uri == "https://mlflow.example"
    assert settings.studies_uri == f"sqlite:///{tmp_path}/.clipcast/studies.db"
    assert settings.predictions_uri == f"sqlite:///{tmp_path}/.clipcast/predictions.db"


def test_the_datas_remote_is_beside_artifacts_on_s3_and_nowhere_else() -> None:
    assert Settings.load().data_remote is None
    assert Settings.load(artifacts_uri="s3://bucket/prefix/").data_remote == "s3://bucket/prefix/dvc"


def test_a_relative_home_is_fixed_where_the_program_started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = Settings.load()
    monkeypatch.chdir("/")
    assert settings.home == tmp_path / ".clipcast"
    assert settings.tracking_uri == f"sqlite:///{tmp_path}/.clipcast/mlflow.db"


def test_loading_makes_no_files(tmp_path: Path) -> None:
    Settings.load().describe()
    assert list(tmp_path.iterdir()) == []


def test_the_environment_wins_over_params_yaml_here_which_wins_over_the_packages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path(PARAMS_FILE).write_text("training:\n  trials: 3\n  folds: 3\n")
    monkeypatch.setenv("CLIPCAST_TRAINING__TRIALS", "4")
    training = Settings.load().training
    assert (training.trials, training.folds, training.holdout_share) == (4, 3, 0.2)


def test_an_option_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CLIPCAST_HOME", "from-environment")
    monkeypatch.setenv("CLIPCAST_TRAINING__FOLDS", "6")
    settings = Settings.load(home=tmp_path / "option", training={"trials": 2})
    assert settings.home == tmp_path / "option"
    assert (settings.training.trials, settings.training.folds) == (2, 6)


def test_an_empty_variable_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CLIPCAST_HOME", "")
    assert Settings.load().home == tmp_path / ".clipcast"


def test_null_in_the_environment_takes_a_limit_away(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(PARAMS_FILE).write_text("training: {timeout_s: 60}")
    assert Settings.load().training.timeout_s == 60
    monkeypatch.setenv("CLIPCAST_TRAINING__TIMEOUT_S", "null")
    assert Settings.load().training.timeout_s is None


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [
        ("CLIPCAST_HOEM", "CLIPCAST_HOME"),
        ("CLIPCAST_TRIALS", "CLIPCAST_TRAINING__TRIALS"),
        ("CLIPCAST_GATE__MIN_GAINS", "CLIPCAST_GATE__MIN_GAIN"),
        ("CLIPCAST_GATE", "CLIPCAST_GATE__"),  # a group is set number by number
        ("clipcast_seed", "CLIPCAST_SEED"),
    ],
)
def test_a_wrong_variable_is_refused_with_the_nearest_right_one(
    monkeypatch: pytest.MonkeyPatch, wrong: str, nearest: str
) -> None:
    monkeypatch.setenv(wrong, "1")
    with pytest.raises(SettingsError, match=rf"no setting {wrong}; the nearest is {nearest}"):
        Settings.load()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("training: {trails: 3}", r"no setting training\.trails; the nearest is training\.trials"),
        ("gates: {min_gain: 0.1}", r"no setting gates\.min_gain; the nearest is gate\.min_gain"),
        ("Training: {trials: 3}", r"no setting Training\.trials; the nearest is training\.trials"),
        ("home: elsewhere", "no setting home"),
        ("gate:", r"no setting gate; the nearest is gate\."),
        ("- trials", "must hold groups of settings, not list"),
        ("", "must hold groups of settings, not NoneType"),
        ("training: {", "cannot be read as YAML"),
    ],
)
def test_a_wrong_params_yaml_is_refused_by_name(tmp_path: Path, text: str, complaint: str) -> None:
    Path(PARAMS_FILE).write_text(text)
    with pytest.raises(SettingsError, match=complaint) as caught:
        Settings.load()
    assert str(tmp_path / PARAMS_FILE) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TRAINING__HOLDOUT_SHARE", "0"),
        ("TRAINING__HOLDOUT_SHARE", "1"),
        ("TRAINING__HOLDOUT_SHARE", "nan"),
        ("TRAINING__TRIALS", "0"),
        ("TRAINING__TRIALS", "many"),
        ("TRAINING__FOLDS", "1"),
        ("TRAINING__TIMEOUT_S", "0"),
        ("OUTCOME__MATURITY_DAYS", "0"),
        ("INTERVALS__COVERAGE", "80"),
        ("GATE__MIN_GAIN", "1"),
        ("GATE__LATENCY_RATIO", "0.5"),
        ("GATE__REPLICATES", "5"),
        ("THREADS", "0"),
        ("SEED", "-1"),
        ("TRACKING_URI", "./mlruns"),
        ("TRACKING_URI", "file:///mlruns"),
        ("DATABASE_URI", "null"),
    ],
)
def test_a_value_outside_its_range_is_refused_with_where_to_set_it(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"CLIPCAST_{name}", value)
    with pytest.raises(SettingsError, match=f"; set CLIPCAST_{name}") as caught:
        Settings.load()
    assert name.lower().replace("__", ".") in str(caught.value)


def test_a_post_cannot_mature_after_the_horizon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIPCAST_OUTCOME__MATURITY_DAYS", "8")
    with pytest.raises(SettingsError, match="maturity_days must not exceed horizon_days"):
        Settings.load()


def test_an_unknown_option_is_refused_like_an_unknown_variable() -> None:
    with pytest.raises(SettingsError, match=r"no setting training\.trails; the nearest is training\.trials"):
        Settings.load(training={"trails": 3})


def test_a_bad_home_is_reported_once_and_not_for_all_that_lies_below(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIPCAST_HOME", "null")
    with pytest.raises(SettingsError) as caught:
        Settings.load()
    assert str(caught.value).count("\n") == 0


def test_settings_cannot_be_changed(settings: Settings) -> None:
    with pytest.raises(ValidationError):
        settings.seed = 8
    with pytest.raises(ValidationError):
        settings.gate.min_gain = 0.5


def test_the_description_is_json_and_shows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIPCAST_DATABASE_URI", "postgresql+psycopg://me:s3cret@host/db")
    settings = Settings.load()
    shown = json.loads(json.dumps(settings.describe()))
    assert settings.database_uri == "postgresql+psycopg://me:s3cret@host/db"
    assert shown["database_uri"] == "postgresql+psycopg://me:***@host/db"
    assert "s3cret" in settings.tracking_uri
    assert "s3cret" not in json.dumps(shown)
    assert shown["artifacts_uri"] == settings.artifacts_uri


def test_an_error_shows_no_secret_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIPCAST_DATABASE_URI", "file://me:s3cret@host/db")
    with pytest.raises(SettingsError, match=r"me:\*\*\*@host"):
        Settings.load()


CHANNELS = [
    "slack://Hidden1/Hidden2/Hidden3/#alerts",
    "https://hooks.slack.com/services/Hidden4",
    "mailto://Hidden5:Hidden6@example.org?to=Hidden7",
    "Json://Hidden8",
]


def test_of_a_channel_only_the_scheme_is_ever_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIPCAST_MONITORING__CHANNELS", json.dumps(CHANNELS))
    settings = Settings.load()
    assert settings.monitoring.channels == tuple(CHANNELS)
    shown = settings.describe()["monitoring"]
    assert shown["channels"] == ["slack://***", "https://***", "mailto://***", "Json://***"]
    assert {name for name in shown if name != "channels"} == set(settings.monitoring.model_dump()) - {"channels"}
    assert "Hidden" not in repr(settings)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("MONITORING__CHANNELS", json.dumps([CHANNELS[0], "Hidden/without/a/scheme"])),
        ("MONITORING__CHANNELS", json.dumps([["slack://Hidden"]])),
        ("MONITORING__CHANNELS", json.dumps({"slack://Hidden": 1})),
        ("MONITORING__CHANNELS", json.dumps("slack://Hidden")),
        ("MONITORING__CHANNELS", CHANNELS[0]),
        ("MONITORING", json.dumps(CHANNELS)),
        ("MONITORING", CHANNELS[0]),
        ("MONITORING", json.dumps({"channels": [1, CHANNELS[0]]})),
    ],
)
def test_no_error_about_a_channel_shows_its_address(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv(f"CLIPCAST_{variable}", value)
    with pytest.raises(SettingsError, match="CLIPCAST_MONITORING") as caught:
        Settings.load()
    assert "Hidden" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    "text",
    [
        "monitoring: {channels: ['slack://Hidden/a',",
        "monitoring:\n  channels: [slack://Hidden/a, {]",
        "monitoring: {channels: {'slack://Hidden': 1}}",
        "monitoring: {'slack://Hidden': 1}",
        "monitoring: {channels: slack://Hidden/a}",
        "monitoring: slack://Hidden/a",
        "monitoring:\n\tchannels: slack://Hidden",
    ],
)
def test_no_error_about_the_file_of_channels_shows_an_address(text: str) -> None:
    file = Path(SERVICE_FILE)
    file.parent.mkdir()
    file.write_text(text)
    with pytest.raises(SettingsError) as caught:
        Settings.load()
    assert "Hidden" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("uri", "masked"),
    [
        ("sqlite:////home/of/ledger.db", "sqlite:////home/of/ledger.db"),
        ("postgresql://app@host:5432/db", "postgresql://app@host:5432/db"),
        ("postgresql://app:p:a/s@s@host:5432/db", "postgresql://app:***@host:5432/db"),
        ("redis://:word@host", "redis://:***@host"),
        ("https://host:5000/?user=a&password=b&x=c", "https://host:5000/?user=a&password=***&x=c"),
        ("s3://bucket?aws_secret_access_key=b", "s3://bucket?aws_secret_access_key=***"),
    ],
)
def test_only_passwords_and_keys_are_masked(uri: str, masked: str) -> None:
    assert mask(uri) == masked


def test_an_installed_package_reads_the_copy_that_lies_beside_the_module(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    installed = tmp_path / "site" / "features"
    installed.mkdir(parents=True)
    (installed / PARAMS_FILE).write_text((ROOT / PARAMS_FILE).read_text().replace("trials: 25", "trials: 2"))
    served = (ROOT / SERVICE_FILE).read_text().replace("  port: 8000", "  port: 8001")
    (installed / Path(SERVICE_FILE).name).write_text(served)
    monkeypatch.setattr(features.settings, "__file__", str(installed / "settings.py"))
    assert Settings.load().training.trials == 2
    assert Settings.load().service.port == 8001


def test_a_schema_leaves_every_other_parameter_of_an_address_as_it_was() -> None:
    address = "postgresql+psycopg:///name?host=h1&options=-cx%3D1&host=h2&port="
    found = in_schema(address, "studies")
    given = [("host", "h1"), ("host", "h2"), ("port", ""), ("options", "-cx=1 -csearch_path=studies")]
    assert parse_qsl(found.partition("?")[2], keep_blank_values=True) == given
    assert schema_of(found) == "studies"
