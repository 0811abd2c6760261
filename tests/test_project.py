import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from features import errors
from features.telemetry import SILENT, silence

ROOT = Path(__file__).parents[1]
ROOMS = ("features", "training", "registry", "flows", "monitoring", "serving")
BASE = ["numpy", "polars", "pyarrow", "scipy", "lightgbm", "xgboost", "pydantic_settings", "typer", "rich"]
HEAVY = (
    "dvc",
    "evidently",
    "matplotlib",
    "mlflow",
    "optuna",
    "pandas",
    "pandera",
    "prefect",
    "sklearn",
    "torch",
)
# They exist for MLflow and Prefect, or are run by Alembic.
NEEDING_THE_PIPELINE = (
    "registry.tracking",
    "registry.pyfunc",
    "registry.migrations.env",
    "monitoring.migrations.env",
    "flows.",
)

# The libraries of the base install come first, since some set variables of their own. What that install lacks
# is made absent, as otherwise LightGBM brings in scikit-learn and pandas where it finds them.
IMPORT = """
import importlib, json, logging, os, sys, threading
for name in {absent}:
    sys.modules[name] = None
for name in {base}:
    importlib.import_module(name)
environment, handlers = dict(os.environ), logging.root.handlers[:]
for name in {modules}:
    importlib.import_module(name)
print(json.dumps({{
    "environment": sorted(set(os.environ.items()) ^ set(environment.items())),
    "handlers": len(logging.root.handlers) - len(handlers),
    "threads": threading.active_count(),
    "loaded": sorted(name for name in {heavy} if sys.modules.get(name)),
}}))
"""


def import_in_a_fresh_process(modules: list[str], folder: Path, absent: tuple[str, ...] = ()) -> object:
    base = BASE if absent else []
    script = IMPORT.format(modules=modules, base=base, absent=absent, heavy=HEAVY)
    environment = {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "HOME": str(folder)}
    command = [sys.executable, "-W", "error", "-c", script]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert list(folder.iterdir()) == []
    return json.loads(done.stdout)


NOTHING = {"environment": [], "handlers": 0, "threads": 1, "loaded": []}


def test_importing_the_rooms_has_no_side_effect_and_loads_nothing_heavy(tmp_path: Path) -> None:
    assert import_in_a_fresh_process(list(ROOMS), tmp_path) == NOTHING


def test_every_module_can_be_imported_without_the_pipeline_and_has_no_side_effect(tmp_path: Path) -> None:
    files = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
    names = [str(path.relative_to(ROOT).with_suffix("")).replace("/", ".").removesuffix(".__init__") for path in files]
    modules = [name for name in names if not name.startswith(NEEDING_THE_PIPELINE)]
    assert import_in_a_fresh_process(modules, tmp_path, absent=HEAVY) == NOTHING


def test_silence_sets_every_variable_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SILENT:
        monkeypatch.setenv(name, "chatty")
    silence()
    assert {name: os.environ[name] for name in SILENT} == dict(SILENT)


def test_silence_covers_every_library_that_is_known_to_report() -> None:
    assert SILENT.items() >= {
        ("MLFLOW_DISABLE_TELEMETRY", "true"),
        ("PREFECT_SERVER_ANALYTICS_ENABLED", "false"),
        ("DO_NOT_TRACK", "true"),
        ("DVC_NO_ANALYTICS", "1"),
    }


def test_mlflow_and_prefect_understand_the_silence() -> None:
    script = (
        "from features.telemetry import silence; silence()\n"
        "from mlflow.telemetry.utils import is_telemetry_disabled\n"
        "from prefect.settings import get_current_settings\n"
        "assert is_telemetry_disabled()\n"
        "assert not get_current_settings().server.analytics_enabled\n"
    )
    environment = {name: value for name, value in os.environ.items() if name not in SILENT}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_error_is_of_the_one_family_and_has_a_sentence() -> None:
    classes = [value for value in vars(errors).values() if isinstance(value, type)]
    assert len(classes) > 5
    for cls in classes:
        assert issubclass(cls, errors.ClipcastError)
        assert cls.__doc__
        assert cls.__doc__.endswith(".")


def test_a_missing_extra_says_what_to_install_and_survives_a_process_boundary() -> None:
    error = errors.MissingExtraError("torch", "deep")
    function, arguments = error.__reduce__()
    assert "pip install 'clipcast[deep]'" in str(error)
    assert str(function(*arguments)) == str(error)


def files_of_the_repository() -> list[Path]:
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("needs git and a checkout to know which files belong to the repository")
    command = [git, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def test_no_file_names_a_place_on_somebodys_machine() -> None:
    personal = re.compile(r"""(?:^|[\s"'`(=:,])(?:file://)?/(?:root|home|Users|work|mnt)/[\w.-]""")
    found = []
    for path in files_of_the_repository():
        text = path.read_bytes().decode("utf-8", errors="replace")
        for number, line in enumerate(text.splitlines(), start=1):
            if str(ROOT) in line or personal.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}")
    assert found == []


def test_every_requirement_has_an_exact_pin() -> None:
    described = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project, tools = described["project"], described["dependency-groups"]
    groups = [project["dependencies"], *project["optional-dependencies"].values(), *tools.values()]
    names = {re.split(r"[\[<>=]", wanted)[0] for group in groups for wanted in group} - {"clipcast"}
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", pin) for pin in pins)
    assert {name.lower() for name in names} <= {pin.partition("==")[0].lower().replace("_", "-") for pin in pins}
