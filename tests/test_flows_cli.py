"""The command line without a trained model: quick commands, refusals, and what they import."""

import json
import os
import subprocess
import sys

import pytest

COLUMNS = (
    "platform,post_id,account_id,published_at,observed_at,media_type,caption,duration_s,sound_id,followers"
    ",views,likes,comments,shares,saves"
)
FILE = f"{COLUMNS}\n"


@pytest.fixture
def clipcast(tmp_path):
    """Run the command in a process of its own, in an empty workspace."""

    def run(*arguments, **environment):
        env = {**os.environ, "CLIPCAST_HOME": str(tmp_path / "home"), "CLIPCAST_DATA": str(tmp_path / "w" / "data")}
        return subprocess.run(
            [sys.executable, "-m", "flows.cli", *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
            env={**env, **environment},
        )

    return run


def test_help_imports_nothing_heavy():
    heavy = ("prefect", "mlflow", "optuna", "lightgbm", "pandas", "matplotlib", "sqlalchemy")
    code = f"import sys, flows.cli; print([name for name in {heavy!r} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_config_as_json_names_the_tracking_uri(clipcast, tmp_path):
    told = json.loads(clipcast("config", "--json").stdout)
    assert told["tracking_uri"] == f"sqlite:///{tmp_path / 'home' / 'mlflow.db'}"


def test_json_goes_to_a_file_where_one_is_named(clipcast, tmp_path):
    clipcast("config", "--json", tmp_path / "config.json")
    assert json.loads((tmp_path / "config.json").read_text())["seed"] == 7


def test_a_wrong_setting_is_refused_with_the_nearest_name(clipcast):
    answered = clipcast("config", CLIPCAST_HOMES="x")
    assert answered.returncode == 1
    assert "CLIPCAST_HOME" in answered.stderr
    assert "Traceback" not in answered.stderr


def test_an_empty_workspace_says_what_to_do_next(clipcast):
    assert "clipcast import" in clipcast("status").stdout
    assert json.loads(clipcast("status", "--json").stdout) == {"models": []}
    assert json.loads(clipcast("history", "--json").stdout) == {"ledger": []}
    weekly = clipcast("run", "weekly")
    assert weekly.returncode == 1
    assert "clipcast import" in weekly.stderr


def test_forecasts_without_a_champion_name_the_command_that_makes_one(clipcast, tmp_path):
    drafts = tmp_path / "drafts.csv"
    drafts.write_text(FILE + "youtube,p,a,2026-01-01T00:00:00Z,,video,hello,10,,,,,,,\n")
    answered = clipcast("predict", drafts, "--out", tmp_path / "p.csv")
    assert answered.returncode == 1
    assert "clipcast run weekly --platform youtube" in answered.stderr
    assert not (tmp_path / "p.csv").exists()


def test_importing_a_file_twice_changes_nothing(clipcast, tmp_path):
    posts = tmp_path / "posts.csv"
    posts.write_text(FILE + "tiktok,p,a,2026-01-01T00:00:00Z,2026-01-09T00:00:00Z,video,hello,10,,5,100,7,1,0,0\n")
    first, second = clipcast("import", posts), clipcast("import", posts)
    assert "1 new posts, 1 new observations" in first.stdout
    assert "1 rows already known" in second.stdout
    assert first.stdout.splitlines()[-1] == second.stdout.splitlines()[-1]


def test_a_bad_file_imports_nothing_and_the_good_one_beside_it_goes_in(clipcast, tmp_path):
    good, bad = tmp_path / "good.csv", tmp_path / "bad.csv"
    good.write_text(FILE + "tiktok,p,a,2026-01-01T00:00:00Z,2026-01-09T00:00:00Z,video,hello,10,,5,100,7,1,0,0\n")
    bad.write_text(
        FILE.replace("views", "vievs") + "tiktok,q,a,2026-01-01T00:00:00Z,2026-01-09T00:00:00Z,v,h,1,,5,1,7,1,0,0\n"
    )
    answered = clipcast("import", bad, good)
    assert answered.returncode == 1
    assert "vievs" in answered.stderr
    assert "good.csv: 1 new posts" in answered.stdout


def test_the_table_needs_its_markers(clipcast, tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("# nothing\n")
    assert "versions in production: begin" in clipcast("readme", readme).stderr
