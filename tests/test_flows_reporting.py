"""What the reading commands print and write."""

import json
from io import StringIO

import pytest
from rich.console import Console

from features.errors import ClipcastError
from flows import reporting
from flows.cli import _with_optional_file

STATUS = {
    "model": "clipcast-youtube-performance",
    "version": 3,
    "semver": "1.2.0",
    "since": "2026-06-27T10:00:00+00:00",
    "age_days": 0.4,
    "data": "5,000 simulated posts, 2026-01-01 to 2026-06-24",
    "problem": None,
    "data_hash": "75c2ded19d50d095",
    "bundle_sha256": "ab",
    "metrics": {"r2": 0.61, "mae_log": 0.7, "accuracy": 0.77},
}


@pytest.fixture
def in_production(monkeypatch):
    monkeypatch.setattr(reporting, "statuses", lambda: [STATUS])


@pytest.mark.usefixtures("in_production")
def test_the_table_between_the_markers_is_replaced_and_nothing_else(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{reporting.BEGIN}\nold\n{reporting.END}\nafter\n")
    reporting.write_table(readme)
    text = readme.read_text()
    assert text.startswith(f"before\n{reporting.BEGIN}\n")
    assert text.endswith(f"{reporting.END}\nafter\n")
    assert "| YouTube | 0.770 | 0.700 | 0.610 | 2026-06-27 |" in text
    assert "5,000 simulated posts" in text
    assert "old" not in text


def test_a_platform_of_several_sources_is_shown_within_each(monkeypatch):
    within = {"source.hits.r2": 0.06, "source.hits.mae_log": 0.68, "source.all.r2": 0.5}
    monkeypatch.setattr(reporting, "statuses", lambda: [{**STATUS, "metrics": STATUS["metrics"] | within}])
    table = reporting.versions_table()
    assert "| YouTube | 0.770 | 0.700 | 0.610 | 2026-06-27 |" in table
    assert "| YouTube, hits alone | – | 0.680 | 0.060 | 2026-06-27 |" in table
    assert "| YouTube, all alone | – | unknown | 0.500 | 2026-06-27 |" in table


@pytest.mark.usefixtures("in_production")
def test_what_came_of_the_answers_is_a_column_once_monitoring_has_looked(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPCAST_HOME", str(tmp_path))
    assert "MAE in production" not in reporting.versions_table()
    row = {"role": "champion", "week": "all", "version": "all", "slice": "all", "mae_log": 0.8125, "posts": 1204}
    folder = tmp_path / "monitoring" / STATUS["model"]
    folder.mkdir(parents=True)
    told = {"at": "2026-06-28", "performance": [{**row, "role": "shadow", "mae_log": 0.1}, row]}
    (folder / "verdict.json").write_text(json.dumps(told))
    table = reporting.versions_table()
    assert "| Last updated | MAE in production, 26 weeks |" in table
    assert "| YouTube | 0.770 | 0.700 | 0.610 | 2026-06-27 | 0.812 on 1,204 posts |" in table


@pytest.mark.usefixtures("in_production")
def test_a_file_without_markers_is_left_alone(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("mine\n")
    with pytest.raises(ClipcastError, match="lacks the lines"):
        reporting.write_table(readme)
    assert readme.read_text() == "mine\n"


def test_status_shows_an_unknown_metric_as_unknown():
    screen = StringIO()
    reporting.show_status([{**STATUS, "metrics": {}}], Console(file=screen, width=200))
    assert screen.getvalue().count("unknown") == 3


def test_json_may_stand_alone_or_name_a_file():
    assert _with_optional_file(["status", "--json"]) == ["status", "--json", "-"]
    assert _with_optional_file(["backtest", "--json", "--platform", "youtube"])[1:3] == ["--json", "-"]
    assert _with_optional_file(["backtest", "--json", "out.json"]) == ["backtest", "--json", "out.json"]
