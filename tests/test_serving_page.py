"""The page: what it shows and to whom, that nobody's words become markup, and how it does in a real browser."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import re
import shutil
import sqlite3
import statistics
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

import httpx
import polars as pl
import pytest
from fastapi import FastAPI

from features.errors import NoChampionError
from features.settings import Settings
from registry.database import Database
from registry.ledger import Entry, Kind, Ledger, Row
from serving import page, page_data, page_reading, words
from serving.app import create_app
from serving.charts import Axis, heat_map, strip, whiskers
from serving.page import Tried
from serving.page_data import Decided, LedgerReader
from serving.posts import Post
from serving.problems import ProblemError, without_paths
from serving.versions import Deployed
from tests.page_world import AUDIT, BROKEN, HOSTILE, LUMINANCE, NOW, Reader, Tab, html_of, plain, shown
from tests.service_world import Running, Workspace, a_workspace, running_service

SURFACE = [
    {
        "time_utc": (datetime(2026, 11, 25, tzinfo=UTC) + timedelta(hours=hour)).isoformat(),
        "boost": 0.03 * math.sin(hour / 9),
        "lower": 0.03 * math.sin(hour / 9) - 0.02,
        "upper": 0.03 * math.sin(hour / 9) + 0.02,
    }
    for hour in range(168)
]
ANSWER = {
    "prediction_id": "p1",
    "model": "clipcast-tiktok-performance",
    "version": "1.2.0",
    "role": "champion",
    "post_id": None,
    "platform": "tiktok",
    "views": {"value": 12_345.0, "lower": 4_000.0, "upper": 40_000.0},
    "engagement_rate": {"value": 0.041, "lower": 0.02, "upper": 0.09},
    "score": {"value": 61.2, "lower": 24.0, "upper": 91.0},
    "coverage": 0.8,
    "account_known": True,
}
ROW = Row(
    id=1,
    at=NOW,
    from_version=1,
    to_version=2,
    evidence_sha256="0" * 64,
    model="clipcast-tiktok-performance",
    kind=Kind.PROMOTED,
    who="tester",
    reason="gain 2 % (1 % to 3 %)",
    data_source="simulated posts",
    version=2,
    semver="1.1.0",
    bundle_sha256="ab" * 32,
)


def answered(account: str = "me", outcomes: tuple[float, ...] = (900.0, 5_000.0, 60_000.0), **changes: Any) -> Tried:
    typed = {**page.typed_into({}, NOW), "account_id": account}
    told = page_data.told(ANSWER, account, outcomes)
    return replace(
        Tried(typed, told=told, no_virality="There is no virality model.", no_surface="No hours."), **changes
    )


# words and charts


def test_numbers_are_written_as_people_read_them() -> None:
    assert [plain(words.count(number)) for number in (0, 0.6, 999.4, 999.6, 1_000, 12_345, 999_999, 2.5e9)] == [
        *("0", "1", "999", "1 k", "1 k", "12.3 k", "1 M", "2.5 bn"),
    ]
    assert [plain(words.percent(share)) for share in (0.0412, 0.8, -0.05, -1e-9, None)] == [
        *("4.1 %", "80 %", "-5 %", "0 %", "unknown"),
    ]
    assert plain(words.percent(0.02, signed=True)) == "+2 %"
    assert [plain(words.milliseconds(number)) for number in (0.031, 4.2, 35.4, 1_250, None)] == [
        *("0.031 ms", "4.2 ms", "35 ms", "1.25 s", "unknown"),
    ]
    assert words.moment(datetime.fromisoformat("2026-03-01T00:30:00+02:00")) == "28 Feb 2026, 22:30 UTC"
    assert [words.age(timedelta(seconds=seconds)) for seconds in (-5, 59, 60, 7_199, 86_400 * 400)] == [
        *("less than a minute", "less than a minute", "1 minute", "1 hour", "400 days"),
    ]


@pytest.mark.parametrize("values", [[0.0], [500.0, 600.0], [1.0, 1e12], [0.0, 3.0], [30_000.0, 90_000.0]])
def test_an_axis_holds_its_values_and_a_few_round_ticks_in_order(values: list[float]) -> None:
    axis = Axis.around(values)
    assert all(4 <= axis.at(value) <= 96 for value in values)
    at = [tick.x for tick in axis.ticks()]
    assert 2 <= len(at) <= 6
    assert at == sorted(set(at))
    assert all(re.fullmatch(r"(0|[125]0*|30*)( (k|M|bn|tn))?", plain(tick.label)) for tick in axis.ticks())


def test_a_strip_keeps_the_order_and_the_distances_of_logs() -> None:
    drawn = strip([9.0, 99.0, 999.0], 99.0, 9.0, 999.0)
    low, middle, high = (dot.x for dot in drawn.dots)
    assert (drawn.lower, drawn.point, drawn.upper) == (low, middle, high)
    assert middle - low == pytest.approx(high - middle, abs=0.1)
    assert drawn.median == middle
    assert strip([], 99.0, 9.0, 999.0).median is None


def test_a_strip_draws_the_latest_posts_but_counts_all_for_the_median() -> None:
    drawn = strip([10.0] * 900 + [1e6] * 300, 99.0, 9.0, 999.0)
    assert len(drawn.dots) == 200
    assert {dot.x for dot in drawn.dots} == {Axis.around([9, 1e6]).at(1e6)}
    assert drawn.median == Axis.around([9, 1e6]).at(10)


def test_whiskers_share_one_scale_from_zero() -> None:
    worst, best = whiskers([(2.0, 1.0, 4.0), (1.0, None, None)])
    assert (worst.high, worst.x - 2) == (98, pytest.approx(2 * (best.x - 2)))
    assert best.low is None


def test_the_week_has_every_hour_at_its_place_in_utc_and_names_the_best() -> None:
    shifted = [{**each, "time_utc": _in_zone(each["time_utc"])} for each in SURFACE]
    for surface in (SURFACE, shifted):
        week = heat_map(surface)
        assert next(day for day, _ in week.rows) == "Monday"
        assert [len(cells) for _, cells in week.rows] == [24] * 7
        first = dict(week.rows)["Wednesday"][0]  # the surface begins there at midnight, with nothing to gain
        assert (plain(first.words), first.level, first.sure) == ("0 % (-2 % to +2 %)", "zero", False)
        best = max(SURFACE, key=lambda hour: hour["boost"])
        at = datetime.fromisoformat(best["time_utc"])
        assert plain(week.best) == f"{at:%A} {at.hour:02d}:00 UTC, +3 % (+1 % to +5 %)"
        cell = dict(week.rows)[f"{at:%A}"][at.hour]
        assert (cell.level, cell.sure) == ("up-4", True)


def test_an_hour_that_nothing_is_known_of_says_so() -> None:
    assert dict(heat_map(SURFACE[1:]).rows)["Wednesday"][0].words == "not known"


def _in_zone(time: str) -> str:
    from zoneinfo import ZoneInfo

    return datetime.fromisoformat(time).astimezone(ZoneInfo("Asia/Kolkata")).isoformat()


# what is shown


def test_a_forecast_is_told_in_words_with_every_interval() -> None:
    text = plain(shown(tried=answered()).text)
    assert "12.3 k views" in text
    assert "In 80 % of such posts the outcome lies between 4 k and 40 k" in text
    assert "3 posts have a known outcome here, with a median of 5 k views; the forecast lies above 2 of them." in text
    assert "Engagement rate 4.1 % 2 % to 9 %" in text
    assert "Score, 0 to 100 61 24 to 91" in text
    assert "There is no virality model." in text


def test_an_account_without_outcomes_is_told_as_such() -> None:
    told = page_data.told({**ANSWER, "account_known": False, "engagement_rate": None}, "new", [])
    text = shown(tried=answered(told=told)).text
    assert "There are no outcomes of this account to compare with. Nothing is known of this account yet" in text
    assert "Engagement rate unknown" in text
    assert "a post of the account" not in text
    unnamed = page_data.told({**ANSWER, "account_known": False}, None, [])
    assert "Forecast for an account that is not named" in shown(tried=answered(told=unnamed)).text


def test_factors_are_bars_and_one_without_inputs_is_not_known() -> None:
    answer = {"virality_score": 0.31, "confidence": 0.6, "factors": {"visual_appeal": 0.75, "audio_quality": None}}
    page_shown = shown(tried=answered(virality=page_data.virality(answer)))
    assert "visual appeal 0.75" in page_shown.text
    assert "audio quality not known" in page_shown.text
    assert [bar["width"] for bar in page_shown.named("rect") if bar["class"] == "fill"] == ["75.0%"]
    assert "chance to land in the account's top tenth is 31" in page_shown.text


def test_the_posting_surface_is_a_table_that_can_be_read_without_seeing_it() -> None:
    surface = {"surface": SURFACE, "sentence": "Thursday is not told from any other day."}
    page_shown = shown(tried=answered(surface=surface), heat_map=heat_map(SURFACE))
    cells = [attributes for attributes in page_shown.named("td") if attributes.get("class") is not None]
    assert len(cells) == 168
    assert surface["sentence"] in page_shown.text
    assert plain(page_shown.text).count("% to") > 168


@pytest.mark.parametrize("text", HOSTILE)
def test_no_words_of_strangers_become_markup_or_turn_the_words_around_them(text: str) -> None:
    told = page_data.told(ANSWER, text, (900.0, 5_000.0, 60_000.0))
    typed = dict.fromkeys(page.FIELDS, text)
    factors = page_data.virality({"virality_score": 0.3, "confidence": 0.6, "factors": {text: 0.5}})
    decisions = [page_data.decision_view(replace(ROW, model=text, reason=text, who=text, semver=text))]
    harmless = page_data.virality({"virality_score": 0.3, "confidence": 0.6, "factors": {"a": 0.5}})
    calm = shown(tried=answered(virality=harmless), problems={"a": "b"}, decisions=[page_data.decision_view(ROW)])
    tried = replace(answered(), typed=typed, told=told, virality=factors)
    for found in (
        shown(tried=tried, problems={text: text}, decisions=decisions),
        shown(tried=Tried(typed, faults={"followers": text}, problem=text), problems={text: text}, decisions=decisions),
    ):
        assert not found.named("script")
        assert not found.named("img")
        assert not [name for _, attributes in found.elements for name in attributes if name.startswith("on")]
        places = [inside for inside, each in found.texts if text in each]
        assert len(places) >= 4
        assert all({"bdi", "textarea"} & set(inside) for inside in places)
        marked = {str(attributes["id"]): attributes for _, attributes in found.elements if text in attributes.values()}
        assert set(marked) == set(page.FIELDS) - {"platform", "caption"}
        assert marked["account_id"]["dir"] == "auto"
    assert len(calm.elements) == len(shown(tried=tried, problems={text: text}, decisions=decisions).elements)


def test_a_caption_of_a_megabyte_is_kept_as_it_was_typed() -> None:
    caption = "<\u202e&" * 350_000
    typed = {**page.typed_into({}, NOW), "caption": caption}
    found = shown(tried=Tried(typed, problem="the caption is longer than 65,536 bytes; shorten it", status=413))
    assert "".join(text for inside, text in found.texts if inside[-1:] == ("textarea",)).strip() == caption
    assert "65,536 bytes" in found.text


def test_a_path_of_this_machine_is_not_shown() -> None:
    said = "the model in /srv/home/.clipcast/bundles/ab12 is damaged (see file:///srv/x/y.txt), 3/4 left and/or gone"
    assert without_paths(said) == "the model in …/ab12 is damaged (see …/y.txt), 3/4 left and/or gone"
    row = replace(ROW, reason="refused: /tmp/abc/bundle does not load")
    assert page_data.decision_view(row).reason == "refused: …/bundle does not load"


# the form


def ask_nobody(family: str, post: Post) -> Any:
    raise AssertionError(f"{family} was asked about {post}")


def tried(query: dict[str, str], ask: Any = ask_nobody) -> Tried:
    return asyncio.run(page._try(Deployed(), query, ask, NOW))


def test_an_empty_form_asks_nothing_and_proposes_the_next_hour() -> None:
    found = tried({"utm": "x"})
    assert (found.typed["published_at"], found.told, found.faults) == ("2026-11-22T13:00", None, {})


def test_faults_stand_by_their_fields_and_what_was_typed_is_kept() -> None:
    typed = {"platform": "myspace", "account_id": "x" * 5_000, "published_at": "soon", "duration_s": "long"}
    found = tried({**typed, "followers": "-1", "caption": "kept"})
    assert found.status == 422
    assert found.faults == {
        "platform": "is not a platform that clipcast knows",
        "account_id": "is longer than 4,096 bytes",
        "published_at": "is not a time, as 2026-12-01T17:00",
        "duration_s": "is not a number",
        "followers": "cannot be below 0",
    }
    shown_page = shown(tried=found)
    inputs = {each["id"]: each for each in shown_page.named("input")}
    assert inputs["duration_s"]["value"] == "long"
    assert inputs["duration_s"]["aria-invalid"] == "true"
    assert inputs["duration_s"]["aria-describedby"] == "duration_s-fault duration_s-hint"
    assert "aria-invalid" not in inputs["media_type"]
    assert "kept" in shown_page.text


@pytest.mark.parametrize("typed", ["2026-12-01T17:00", "2026-12-01T17:00:00", "2026-12-01T19:00+02:00"])
def test_a_time_without_a_zone_is_utc(typed: str) -> None:
    asked = page.post_of({"platform": "tiktok", "account_id": "me", "published_at": typed, "caption": "", "sound": " "})
    assert (asked.published_s, asked.caption) == (1_796_144_400, None)


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (NoChampionError("no performance model of tiktok is in production; train one"), 404, "train one"),
        (ProblemError(413, "the caption is longer than 65,536 bytes; shorten it"), 413, "shorten it"),
    ],
)
def test_what_the_service_refuses_is_shown_beside_the_form(error: Exception, status: int, said: str) -> None:
    async def refuse(*_: Any) -> Any:
        raise error

    query = {"platform": "tiktok", "account_id": "me", "published_at": "2026-12-01T17:00"}
    found = tried(query, refuse)
    assert (found.status, found.typed["account_id"]) == (status, "me")
    assert said in shown(tried=found).text


# the ledger


def entry(number: int) -> Entry:
    return Entry(
        model="clipcast-tiktok-performance",
        kind=Kind.KEPT,
        who="tester",
        reason=f"reason {number}",
        data_source="posts",
        run_key=f"run {number}",
    )


def test_the_newest_twenty_decisions_are_shown_newest_first(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'ledger.db'}"
    ledger = Ledger(Database(uri))
    for number in range(23):
        ledger.append(entry(number), expected_head=None)
    read = asyncio.run(LedgerReader(uri).latest())
    assert read.problem is None
    text = shown(decided=read, decisions=[page_data.decision_view(row) for row in read.rows]).text
    assert re.findall(r"reason (\d+)", text) == [str(number) for number in range(22, 2, -1)]


def test_looking_for_a_ledger_makes_none(tmp_path: Path) -> None:
    read = asyncio.run(LedgerReader(f"sqlite:///{tmp_path / 'ledger.db'}").latest())
    assert read.problem == "There is no ledger in this workspace."
    assert list(tmp_path.iterdir()) == []


def test_a_ledger_that_was_removed_is_not_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_reading, "KEEP_S", 0.0)
    uri = f"sqlite:///{tmp_path / 'ledger.db'}"
    Ledger(Database(uri)).append(entry(1), expected_head=None)

    async def look() -> tuple[Decided, Decided]:
        reader = LedgerReader(uri)
        before = await reader.latest()
        for path in tmp_path.iterdir():
            path.unlink()
        return before, await reader.latest()

    before, after = asyncio.run(look())
    assert (before.problem, after.problem) == (None, "There is no ledger in this workspace.")
    assert after.rows == before.rows
    assert list(tmp_path.iterdir()) == []


def test_a_defect_while_reading_the_ledger_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: LedgerReader) -> Decided:
        raise ZeroDivisionError

    monkeypatch.setattr(LedgerReader, "_look", broken)
    with pytest.raises(ZeroDivisionError):
        asyncio.run(LedgerReader("sqlite:///x.db").latest())


def test_a_ledger_that_goes_away_is_told_and_its_rows_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_reading, "KEEP_S", 0.0)
    path = tmp_path / "ledger.db"
    Ledger(Database(f"sqlite:///{path}")).append(entry(1), expected_head=None)

    async def look() -> tuple[Decided, Decided, Decided]:
        reader = LedgerReader(f"sqlite:///{path}")
        before = await reader.latest()
        kept = path.read_bytes()
        path.write_bytes(b"no database" * 1_000)
        for beside in path.parent.glob("ledger.db-*"):
            beside.unlink()
        during = await reader.latest()
        path.write_bytes(kept)
        return before, during, await reader.latest()

    before, during, after = asyncio.run(look())
    assert before.problem is None
    assert during.problem == "The ledger's database cannot be read just now."
    assert (during.rows, during.at) == (before.rows, before.at)
    assert after.problem is None
    assert words.moment(before.at or NOW) in shown(decided=during).text


def test_a_database_that_does_not_answer_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_reading, "PATIENCE_S", 0.05)
    looks: list[None] = []

    def slow(_: LedgerReader) -> Decided:
        looks.append(None)
        time.sleep(0.5)
        return Decided((ROW,), at=NOW)

    monkeypatch.setattr(LedgerReader, "_look", slow)

    async def look() -> tuple[list[Decided], float, Decided]:
        reader, started = LedgerReader("sqlite:///x.db"), time.monotonic()
        found = list(await asyncio.gather(*(reader.latest() for _ in range(20))))
        took = time.monotonic() - started
        await asyncio.sleep(0.6)
        return found, took, await reader.latest()

    found, took, later = asyncio.run(look())
    assert took < 0.4
    assert {each.problem for each in found} == {"The ledger's database does not answer just now."}
    assert (later.problem, later.rows) == (None, (ROW,))
    assert len(looks) == 1


# the page of an app


def got(app: FastAPI, *paths: str) -> list[httpx.Response]:
    """What an app answers, once it has looked at what is in production."""

    async def ask() -> list[httpx.Response]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
            return [await client.get(path) for path in paths]

    app.state.service.versions.refresh()
    return asyncio.run(ask())


def test_a_page_that_is_switched_off_answers_404_with_the_reason(settings: Settings) -> None:
    off = settings.model_copy(update={"service": settings.service.model_copy(update={"page": False})})
    for answer in got(create_app(off), "/", "/static/page.css"):
        assert answer.status_code == 404
        assert "service.page" in answer.json()["detail"]


def test_the_page_of_an_empty_workspace_says_what_to_do(settings: Settings) -> None:
    app = create_app(settings)
    [answer] = got(app, "/")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    found = Reader(answer.text)
    assert "clipcast run weekly" in found.text
    assert "There is no ledger in this workspace." in found.text
    files = [f"/{each['href']}" for each in found.named("link")]
    assert [each.status_code for each in got(app, *files)] == [200, 200]
    others = ("/static/page.html", "/static/..%2fapp.py", "/static/%2e%2e/app.py")
    assert [each.status_code for each in got(app, *others)] == [404] * 3
    assert got(app, "/?platform=tiktok&account_id=a&published_at=2026-12-01T17:00")[0].status_code == 404


def test_virality_is_asked_only_where_a_model_of_it_is_in_production() -> None:
    asked: list[str] = []
    answers: dict[str, dict[str, Any]] = {
        "performance": ANSWER,
        "virality": {"virality_score": 0.3, "confidence": 0.5, "factors": {"a": None}},
        "posting_time": {"measured": True, "sentence": "Whenever.", "surface": SURFACE},
    }

    async def ask(family: str, _: Post) -> dict[str, Any]:
        asked.append(family)
        return answers[family]

    query = {"platform": "tiktok", "account_id": "me", "published_at": "2026-12-01T17:00"}
    without = tried(query, ask)
    assert (asked, without.virality) == (["performance", "posting_time"], None)
    assert "no virality model of TikTok" in str(without.no_virality)
    assert without.surface == answers["posting_time"]
    version: Any = SimpleNamespace(platform="tiktok", family="virality")
    found = asyncio.run(page._try(Deployed({"v": version}), query, ask, NOW))
    assert asked[2:] == ["performance", "virality", "posting_time"]
    assert found.virality is not None


@pytest.mark.parametrize("measured", [True, False])
def test_without_a_measured_week_a_forecast_says_why(measured: bool) -> None:
    async def ask(family: str, _: Post) -> dict[str, Any]:
        if family == "performance":
            return ANSWER
        if measured:
            raise ProblemError(404, "posting_time is switched off here")
        return {"measured": False, "sentence": "It was not measured.", "surface": SURFACE}

    found = tried({"platform": "tiktok", "account_id": "me", "published_at": "2026-12-01T17:00"}, ask)
    assert found.surface is None
    said = "not compared: posting_time is switched off here." if measured else "It was not measured."
    assert said in shown(tried=found).text


# the real service


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    made = a_workspace(tmp_path_factory.mktemp("page"))
    made.promote(rounds=8, won=False)
    return made


@pytest.fixture(scope="module")
def service(workspace: Workspace) -> Iterator[Running]:
    with running_service(workspace.settings) as running:
        yield running


def asking(workspace: Workspace, **changes: str) -> str:
    post = workspace.post(**changes)
    typed = {name: post[name] for name in page.FIELDS if name in post}
    return urlencode({**typed, "published_at": "2026-12-01T17:00"})


def fetched(service: Running, query: str = "") -> tuple[int, Reader]:
    response = httpx.get(f"{service.url}/?{query}", timeout=30)
    return response.status_code, Reader(response.text)


def test_a_version_in_production_is_shown_with_its_ladder_and_history(service: Running, workspace: Workspace) -> None:
    _, found = fetched(service)
    text = plain(found.text)
    champion = workspace.registry.ledger.champion(workspace.model)
    assert champion is not None
    ladder = json.loads((workspace.settings.cards_dir / workspace.model / "1.0.0" / "ladder.json").read_text())
    for rung in ladder["rungs"]:
        assert f"{rung['rung']} {rung['mae_log']:.2f} {rung['mae_log_low']:.2f} to {rung['mae_log_high']:.2f}" in text
    assert f"On {ladder['posts']} posts of {ladder['accounts']} accounts" in text
    assert f"Bundle {str(champion.bundle_sha256)[:12]}" in text
    assert "posts from simulated" in text
    assert "Challenger 1.1.0" in text
    assert text.index("Champion kept TikTok performance 1.1.0") < text.index("Promoted TikTok performance 1.0.0")
    assert champion.reason in text


def test_a_ladder_of_virality_is_told_by_its_own_errors(tmp_path: Path) -> None:
    rungs = [
        {"rung": "constant", "brier": 0.0853, "brier_low": 0.0729, "brier_high": 0.0995, "auc": 0.5},
        {"rung": "account anchor", "brier": 0.0839, "brier_low": 0.0714, "brier_high": 0.0977, "auc": 0.623},
        {"rung": "model", "brier": 0.0797, "brier_low": 0.0683, "brier_high": 0.0913, "auc": 0.725, "auc_low": 0.683},
    ]
    kept = {"posts": 300, "accounts": 20, "gain": 0.05, "gain_low": 0.02, "gain_high": 0.08, "rungs": rungs}
    version: Any = SimpleNamespace(
        name="clipcast-tiktok-virality",
        family="virality",
        sha256="a" * 64,
        production=SimpleNamespace(semver="1.0.0"),
    )
    file = tmp_path / version.name / "1.0.0" / "ladder.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(kept))
    of_card = page_data._ladder_of(version, tmp_path, {})
    assert of_card is not None
    assert (of_card.error_words, of_card.fit_words) == ("Brier score", "AUC")
    assert (of_card.rungs[2].error, of_card.rungs[2].error_ends) == ("0.0797", "0.0683 to 0.0913")
    assert [rung.fit for rung in of_card.rungs] == ["0.50", "0.62", "0.72"]
    metrics = {"constant_brier": 0.0853, "anchor_brier": 0.0839, "holdout_posts": 300, "holdout_accounts": 20}
    of_ledger = page_data._ladder_of(version, tmp_path / "none", {"a" * 64: metrics | rungs[2]})
    assert of_ledger is not None
    assert [rung.error for rung in of_ledger.rungs] == ["0.0853", "0.0839", "0.0797"]


def test_without_its_card_a_ladder_comes_from_the_ledger(service: Running, workspace: Workspace) -> None:
    cards = workspace.settings.cards_dir
    hidden = cards.rename(cards.with_name("hidden"))
    try:
        _, found = fetched(service)
    finally:
        hidden.rename(cards)
    champion = workspace.registry.ledger.champion(workspace.model)
    assert champion is not None
    metrics = champion.metrics
    assert f"constant {metrics['constant_mae_log']:.2f} unknown" in found.text
    assert f"{metrics['mae_log']:.2f} {metrics['mae_log_low']:.2f} to {metrics['mae_log_high']:.2f}" in found.text


def test_a_forecast_of_the_page_is_that_of_the_service_over_the_accounts_own_outcomes(
    service: Running, workspace: Workspace
) -> None:
    answer = httpx.post(f"{service.url}/predict_performance", json=workspace.post()).json()
    status, found = fetched(service, asking(workspace))
    assert status == 200
    views = answer["views"]
    assert f"{words.count(views['value'])} views" in found.text
    assert f"between {words.count(views['lower'])} and {words.count(views['upper'])}" in found.text
    dots = [each for each in found.named("circle") if each["class"] == "dot" and each["r"] == "4"]
    champion = workspace.registry.ledger.champion(workspace.model)
    assert champion is not None
    history = pl.read_parquet(workspace.settings.bundles_dir / str(champion.bundle_sha256) / "history.parquet")
    own = history.filter(account_id=workspace.post()["account_id"])["outcome"].drop_nulls()
    assert len(own) > 5
    assert len(dots) == len(own) + 1  # one dot is the legend's
    median = words.count(statistics.median((own.exp() - 1).to_list()))
    assert f"{len(own)} posts have a known outcome here, with a median of {median} views" in found.text


def test_the_week_of_the_page_is_that_of_the_service(service: Running, workspace: Workspace) -> None:
    asked = {name: value for name, value in workspace.post(media_type=None).items() if name != "published_at"}
    answer = httpx.post(f"{service.url}/predict_posting_time", json=asked).json()
    _, found = fetched(service, asking(workspace))
    assert answer["sentence"] in found.text
    cells = [
        each for each in found.named("td") if re.fullmatch("(zero|(up|down)-[1-4])( sure)?", each.get("class") or "")
    ]
    assert len(cells) == (168 if answer["measured"] else 0)


def test_what_the_form_asked_is_in_the_log(service: Running, workspace: Workspace) -> None:
    _, found = fetched(service, asking(workspace, caption="asked by the page"))
    logged = re.search(r"In the log as ([0-9a-f]{32})", found.text)
    assert logged is not None
    path = workspace.settings.predictions_uri.removeprefix("sqlite:///")
    deadline = time.monotonic() + 20
    rows: list[Any] = []
    while not rows and time.monotonic() < deadline:
        time.sleep(0.05)
        # before the first row is written there may be no table yet
        with contextlib.suppress(sqlite3.OperationalError), sqlite3.connect(path) as connection:
            rows = connection.execute("SELECT account_id FROM predictions WHERE id = ?", (logged[1],)).fetchall()
    assert rows == [(workspace.post()["account_id"],)]


def test_an_account_need_not_be_named(service: Running, workspace: Workspace) -> None:
    status, found = fetched(service, asking(workspace, account_id=""))
    assert status == 200
    assert "Forecast for an account that is not named" in found.text
    assert [each for each in found.named("circle") if each["class"] == "dot"] == []


def test_refusals_of_the_real_service_have_their_status(service: Running, workspace: Workspace) -> None:
    status, found = fetched(service, asking(workspace, caption="x" * 300).replace("2026-12-01", "1012-12-01"))
    assert (status, "x" * 300 in found.text) == (422, True)
    assert "lies outside the years" in found.text
    assert fetched(service, asking(workspace, platform="youtube"))[0] == 404


def test_the_service_goes_on_where_the_ledger_is_gone(tmp_path: Path, workspace: Workspace) -> None:
    home = tmp_path / ".clipcast"
    shutil.copytree(workspace.settings.home, home, ignore=shutil.ignore_patterns("predictions.db*"))
    (home / "ledger.db").unlink()
    for name in ("ledger.db-wal", "ledger.db-shm"):
        (home / name).unlink(missing_ok=True)
    [answer] = got(create_app(Settings.load(home=home)), "/")
    text = Reader(answer.text).text
    assert "There is no ledger in this workspace." in text
    assert "TikTok performance 1.0.0 for" in text
    assert "MAE of log" in text


# in Chromium


def test_the_page_loads_without_a_complaint_and_from_nowhere_else(browser: Any, service: Running) -> None:
    with Tab(browser, service.url) as tab:
        assert tab.page.title() == "clipcast"
        assert tab.page.evaluate("getComputedStyle(document.querySelector('.card')).borderRadius") == "10px"
        assert tab.complaints == []
        assert len(tab.asked) >= 2
        assert all(url.startswith(f"{service.url}/") for url in tab.asked)


@pytest.mark.parametrize("script", [True, False])
def test_the_form_is_filled_by_the_keyboard_alone(
    browser: Any, service: Running, workspace: Workspace, script: bool
) -> None:
    account = workspace.post()["account_id"]
    with Tab(browser, service.url, java_script_enabled=script) as tab:
        keyboard = tab.page.keyboard
        keyboard.press("Tab")
        assert tab.focused() == "Skip to the content"
        keyboard.press("Enter")
        keyboard.press("Tab")
        typed = {"platform": "TikTok", "account_id": account, "duration_s": "21.5", "caption": "Building a boat #diy"}
        seen = []
        while (name := tab.focused()) != "Forecast" and len(seen) <= len(page.FIELDS):
            if name not in seen:  # a time is several stops
                seen.append(name)
                keyboard.type(typed.get(name, ""))
            keyboard.press("Tab")
        assert seen == [*page.FIELDS]
        with tab.page.expect_navigation():
            keyboard.press("Enter")
        assert "In 80" in tab.page.locator("#forecast").inner_text()
        assert account in tab.page.locator("#forecast h2").inner_text()
        assert tab.page.locator("textarea").input_value() == typed["caption"]
        assert tab.page.url.endswith("#forecast")
        assert tab.complaints == []


@pytest.mark.parametrize("what", ["answer", "refusal", "stranger"])
def test_nothing_is_wider_than_a_phone(browser: Any, service: Running, workspace: Workspace, what: str) -> None:
    query = {
        "answer": asking(workspace),
        "refusal": asking(workspace, account_id="", followers="x" * 90),
        "stranger": asking(workspace, account_id="W" * 400, caption="W" * 400),
    }[what]
    with Tab(browser, f"{service.url}/?{query}", viewport={"width": 320, "height": 640}) as tab:
        assert tab.page.evaluate("document.documentElement.scrollWidth") == 320
        beyond = (
            "e => [...document.body.querySelectorAll('*:not(.unseen, .skip)')]"
            ".filter(e => e.getBoundingClientRect().right > 320.5).map(e => e.outerHTML.slice(0, 80))"
        )
        assert tab.page.evaluate(beyond) == []
        assert tab.page.evaluate(BROKEN) == []


def test_the_dark_has_a_page_of_its_own_and_every_letter_stands_out_in_both(
    browser: Any, service: Running, workspace: Workspace
) -> None:
    grounds = set()
    for scheme in ("light", "dark"):
        for query in (asking(workspace), asking(workspace, followers="-1")):
            with Tab(browser, f"{service.url}/?{query}", color_scheme=scheme) as tab:
                grounds.add(tab.page.evaluate("getComputedStyle(document.body).backgroundColor"))
                contrasts = tab.page.evaluate(LUMINANCE)
                assert len(contrasts) > 50
                assert [each for each in contrasts if each[0] < 4.5] == []  # WCAG AA
    assert len(grounds) == 2


def test_labels_headings_tables_and_pictures_are_there_for_those_who_do_not_see(
    browser: Any, service: Running, workspace: Workspace
) -> None:
    for query in ("", asking(workspace), asking(workspace, followers="-1", account_id="")):
        with Tab(browser, f"{service.url}/?{query}") as tab:
            assert tab.page.evaluate(AUDIT) == []


def test_a_page_with_factors_and_a_week_fits_a_phone_and_is_sound(browser: Any) -> None:
    factors = {"visual_appeal": 0.8, "audio_quality": None, "trend_alignment": 0.35, "genre_popularity": 0.52}
    score = page_data.virality({"virality_score": 0.31, "confidence": 0.6, "factors": factors})
    surface = {"surface": SURFACE, "sentence": "No hour is told from any other."}
    html = html_of(tried=answered(virality=score, surface=surface), heat_map=heat_map(SURFACE))
    css = (Path(page.__file__).parent / "static" / "page.css").read_text()
    for scheme in ("light", "dark"):
        context = browser.new_context(viewport={"width": 320, "height": 640}, color_scheme=scheme)
        tab = context.new_page()
        tab.set_content(html)
        tab.add_style_tag(content=css)
        assert tab.evaluate("document.documentElement.scrollWidth") == 320
        assert [fault for fault in tab.evaluate(AUDIT) if not fault.startswith("inline")] == []
        shades = (
            "[...new Set([...document.querySelectorAll('.week td')].map(e => getComputedStyle(e).backgroundColor))]"
        )
        assert len(tab.evaluate(shades)) == 9
        assert [each for each in tab.evaluate(LUMINANCE) if each[0] < 4.5] == []
        context.close()
