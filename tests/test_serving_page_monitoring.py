"""What the page shows of monitoring: every verdict, chart and alert, and what is shown where something is wrong."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from features.settings import Settings
from monitoring.alerts import Alert, Finding, Kind, State, acknowledge, update_alerts
from monitoring.verdict import VERDICT
from serving import page, page_monitoring, page_reading, words
from serving.app import create_app
from serving.line_chart import FINEST, MOST_WEEKS, LineChart, Scale, line_chart
from serving.page_monitoring import AlertReader, Monitoring, Standing, monitoring_view
from serving.versions import Deployed
from tests.page_world import AUDIT, BROKEN, HOSTILE, LUMINANCE, NOW, Reader, html_of, plain, shown

MODEL = "clipcast-tiktok-performance"
MONDAY = date(2026, 10, 5)
FEATURES = ("caption_length", "prior", "long_mean", "hour", "word_topic_00", "anchor", "is_sunday", "spread", "tail")


def row(week: date | str, error: float, **changes: Any) -> dict[str, Any]:
    """A row of performance; the anchor is off by 0.1 more, and 81 % of the outcomes are inside."""
    own: dict[str, Any] = {"role": "champion", "week": str(week), "slice": "all", "level": "all", "version": "all"}
    sizes = {"posts": 1_200, "accounts": 40}
    errors = {"mae_log": error, "mae_log_low": error - 0.05, "mae_log_high": error + 0.07}
    others = {"anchor_error": error + 0.1, "expected_error": 0.6}
    inside = {"coverage": 0.81, "coverage_low": 0.74, "coverage_high": 0.86}
    return {**own, **sizes, **errors, **others, **inside, **changes}


def drift(**changes: Any) -> dict[str, Any]:
    features = [
        {"name": name, "distance": 0.5, "importance": 0.02 * at, "weight": 0.01 * at, "broken": None}
        for at, name in enumerate(FEATURES, 1)
    ]
    return {"features": features, "score": 0.45, "threshold": 0.15, "drifted": True, **changes}


def verdict(**changes: Any) -> dict[str, Any]:
    return {
        "semver": "1.0.0",
        "sha256": "a" * 64,
        "at": "2026-11-22T00:00:00+00:00",
        "condition": "needs attention",
        "sentences": ["the error has risen by 12 %", "forecasts are expected to be off by a factor of 2.0"],
        "asked": 12_345,
        "matured": 2_400,
        "performance": [
            row("all", 0.75),
            row("2026-10-12", 0.8),
            row("2026-10-05", 0.7),
            row("2026-10-05", 0.4, role="shadow"),
            row("2026-10-05", 0.3, version="1.0.0"),
            row("2026-10-05", 0.5, slice="media type"),
        ],
        "decision": {"reason": "decay: outcomes moved away", "next_step": "clipcast run weekly --platform tiktok"},
        "drift": drift(),
        **changes,
    }


def kept(folder: Path, found: Any, model: str = MODEL) -> Path:
    file = folder / model / VERDICT
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(found if isinstance(found, str) else json.dumps(found))
    return file


def deployed(sha256: str = "a" * 64, semver: str = "1.0.0", coverage: float = 0.8) -> Deployed:
    """A performance model in production, as much of it as is asked for."""
    bundle = SimpleNamespace(meta={"recipe": {"coverage": coverage}})
    version: Any = SimpleNamespace(
        family="performance",
        sha256=sha256,
        production=SimpleNamespace(semver=semver),
        loaded=SimpleNamespace(bundle=bundle),
    )
    return Deployed({MODEL: version})


def alert(**changes: Any) -> Alert:
    return replace(
        Alert(
            id=1,
            model=MODEL,
            kind=Kind.DECAY,
            subject="error",
            state=State.OPEN,
            sentence="the error has risen by 12 %",
            evidence={},
            opened_at=NOW - timedelta(days=3),
            seen_at=NOW,
            closed_at=None,
            acknowledged_by=None,
            delivered_at=None,
            delivery_error=None,
            retrain_at=None,
        ),
        **changes,
    )


def seen(
    folder: Path, found: Any = None, alerts: Sequence[Alert] = (), serves: Deployed | None = None, **standing: Any
) -> Monitoring:
    """The section over a folder with one verdict."""
    kept(folder, verdict() if found is None else found)
    return monitoring_view(folder, deployed() if serves is None else serves, Standing(alerts, **standing), NOW)


def section(found: Reader) -> str:
    """The words of the section."""
    text = plain(found.text)
    return text[text.index("Monitoring") : text.index("Decisions")]


# charts


@pytest.mark.parametrize(
    ("values", "most", "ends"),
    [
        ([0.751, 1.241], 9.0, (0.6, 1.4)),
        ([0.7, 0.93], 1.0, (0.7, 1.0)),
        ([0.52], 9.0, (0.5, 0.55)),
        ([0.0], 9.0, (0.0, 0.05)),
        ([1.0], 1.0, (0.95, 1.0)),
        ([0.0, 40_000.0], 1e6, (0.0, 40_000.0)),
    ],
)
def test_a_scale_holds_its_values_between_round_ends(
    values: list[float], most: float, ends: tuple[float, float]
) -> None:
    scale = Scale.around(values, most)
    assert (scale.low, scale.high) == (pytest.approx(ends[0]), pytest.approx(ends[1]))
    assert (scale.at(scale.high), scale.at(scale.low)) == (0, 100)
    marks = scale.marks(words.decimal)
    assert 2 <= len(marks) <= MOST_WEEKS + 1
    assert [mark.at for mark in marks] == sorted((mark.at for mark in marks), reverse=True)
    assert len({mark.label for mark in marks}) == len(marks)
    assert scale.step >= FINEST


def chart(values: Sequence[float | None], days: Sequence[int], **changes: Any) -> LineChart:
    weeks = [MONDAY + timedelta(days=day) for day in days]
    ends = [None if value is None else (value - 0.1, value + 0.1) for value in values]
    found = line_chart(weeks, {"model": values}, ends, words.decimal, **changes)
    assert found is not None
    return found


def test_weeks_stand_by_their_time_and_values_by_their_size() -> None:
    found = chart([0.4, 0.6, 0.8], [0, 7, 28], promised=0.8)
    (x, y), (middle, half), (end, top) = found.lines[0].points
    assert (x, end) == (4, 96)
    assert middle == pytest.approx(4 + 92 / 4)
    assert half == pytest.approx((y + top) / 2)
    assert top < y
    assert found.promised == top


def test_a_line_has_a_gap_where_a_week_is_missing_or_not_known() -> None:
    assert [path.count(",") for path in chart([1, 1, 1, 1, 1], [0, 7, 21, 28, 35]).lines[0].paths] == [2, 3]
    found = chart([1, 1, None, 1, 1, 1], [0, 7, 14, 21, 28, 35])
    assert [path.count(",") for path in found.lines[0].paths] == [2, 3]
    assert [band.count(",") for band in found.bands] == [4, 6]
    assert len(found.lines[0].points) == 5


def test_a_point_that_no_path_goes_through_is_always_drawn() -> None:
    days = [7 * week for week in range(30) if week not in (14, 16)]
    [line] = chart([0.5] * 28, days).lines
    assert line.points[14] in line.spots
    assert len(line.spots) < 14


def test_a_week_alone_is_a_point_with_a_band_of_some_width() -> None:
    found = chart([0.5], [0])
    assert found.lines[0].paths == []
    assert found.lines[0].points[0][0] == 50
    assert len({corner.split(",")[0] for corner in found.bands[0].split()}) == 2


def test_a_band_goes_along_the_upper_ends_and_back_along_the_lower() -> None:
    found = chart([0.5, 0.7], [0, 7])
    corners = [tuple(map(float, corner.split(","))) for corner in found.bands[0].split()]
    (left, first), (right, second) = found.lines[0].points
    assert [x for x, _ in corners] == [left, right, right, left]
    assert corners[0][1] < first < corners[3][1]
    assert corners[1][1] < second < corners[2][1]


def test_a_few_weeks_of_many_are_named() -> None:
    found = chart([0.5] * 26, [7 * week for week in range(26)])
    assert len(found.lines[0].points) == 26
    assert len(found.lines[0].spots) == 13
    assert 3 <= len(found.weeks) <= MOST_WEEKS
    assert found.weeks[0].label == "5 Oct"


def test_where_nothing_is_known_nothing_is_drawn() -> None:
    assert line_chart([MONDAY], {"model": [None]}, [None], words.decimal) is None


# a verdict


def test_a_verdict_is_told_with_its_date_its_sentences_and_what_to_do(tmp_path: Path) -> None:
    text = section(shown(monitoring=seen(tmp_path)))
    assert "TikTok performance Needs attention as of 22 Nov 2026, 00:00 UTC Version 1.0.0 : 12,345 posts" in text
    assert "the error has risen by 12 % forecasts are expected to be off by a factor of 2.0" in text
    assert "What to do clipcast run weekly --platform tiktok Why decay: outcomes moved away" in text
    assert "ago" not in text
    assert "has taken its place" not in text
    assert "Nobody has looked at" not in text


@pytest.mark.parametrize(
    ("condition", "word", "mark"),
    [("well", "Well", "is-well"), ("too early to tell", "Too early to tell", "is-early"), ("odd", "odd", "is-early")],
)
def test_every_verdict_has_its_word_and_its_mark(tmp_path: Path, condition: str, word: str, mark: str) -> None:
    found = shown(monitoring=seen(tmp_path, verdict(condition=condition)))
    assert f"TikTok performance {word} as of" in section(found)
    assert [each["class"] for each in found.named("strong") if (each.get("class") or "").startswith("is-")] == [mark]


def test_an_old_verdict_and_one_of_a_version_that_was_replaced_say_so(tmp_path: Path) -> None:
    old = verdict(at="2026-11-12T00:00:00+00:00")
    text = section(shown(monitoring=seen(tmp_path, old, serves=deployed("b" * 64, "1.1.0"))))
    assert "as of 12 Nov 2026, 00:00 UTC , 10 days ago" in text
    assert "Version 1.1.0 has taken its place since" in text


def test_the_error_by_week_is_that_of_the_champion_beside_anchor_and_expectation(tmp_path: Path) -> None:
    found = shown(monitoring=seen(tmp_path))
    text = section(found)
    assert "5 Oct 2026 0.70 0.65 to 0.77 0.80 0.60 12 Oct 2026 0.80 0.75 to 0.87 0.90 0.60" in text
    assert "In the week of 12 Oct 2026: forecasts 0.80 (0.75 to 0.87), account anchor 0.90, expected 0.60" in text
    assert "0.75 0.70" not in text  # all weeks together
    names = [each["class"] for each in found.named("polyline")]
    assert names == [*("path path-model", "path path-anchor", "path path-expected"), "path path-model"]
    [view] = seen(tmp_path).verdicts
    assert view.weeks is not None
    assert view.weeks.error is not None
    drawn = {line.name: [y for _, y in line.points] for line in view.weeks.error.lines}
    assert [anchor < model for model, anchor in zip(drawn["model"], drawn["anchor"], strict=True)] == [True, True]
    assert len(set(drawn["expected"])) == 1


def test_coverage_by_week_stands_beside_what_the_version_promised(tmp_path: Path) -> None:
    found = shown(monitoring=seen(tmp_path, serves=deployed(coverage=0.9)))
    assert "Of every hundred, 90 should be" in section(found)
    assert "5 Oct 2026 81 % 74 % to 86 % 1,200" in section(found)
    assert len([each for each in found.named("line") if each["class"] == "promised"]) == 2  # one is the legend's
    unknown = shown(monitoring=seen(tmp_path, serves=Deployed()))
    assert "promised" not in section(unknown)
    assert [each for each in unknown.named("line") if each["class"] == "promised"] == []


def test_the_features_that_weigh_most_are_ranked_eight_of_them(tmp_path: Path) -> None:
    found = shown(monitoring=seen(tmp_path))
    text = section(found)
    ranked = [name.replace("_", " ") for name in reversed(FEATURES)][:8]
    assert [text.index(f"{name} distance") for name in ranked] == sorted(
        text.index(f"{name} distance") for name in ranked
    )
    assert "caption length" not in text
    assert "tail distance 0.50, importance 18 %" in text
    assert "score is 0.450 , above its threshold of 0.150 : more than chance" in text
    widths = [each["width"] for each in found.named("rect") if each["class"] == "fill"]
    assert widths == [f"{round(100 * at / 9, 2)}%" for at in range(9, 1, -1)]


def test_a_score_within_its_threshold_is_not_called_drift(tmp_path: Path) -> None:
    for calm in (drift(score=0.1, drifted=False), drift(score=0.1, farthest="a_b", excess=-0.1, excess_threshold=0.2)):
        text = section(shown(monitoring=seen(tmp_path, verdict(drift=calm))))
        assert "within its threshold of 0.150 : no more than chance" in text
        assert "By itself" not in text


def test_a_feature_that_moved_by_itself_is_named_beside_a_calm_score(tmp_path: Path) -> None:
    moved = drift(score=0.1, farthest="log_duration", excess=0.31, excess_threshold=0.2)
    found = shown(monitoring=seen(tmp_path, verdict(drift=moved)))
    assert "within its threshold of 0.150" in section(found)
    assert (
        "By itself log duration has moved: its distance is 0.31 beyond what is usual of it, where 0.20 is the threshold"
    ) in section(found)
    assert not [each for each in found.named("rect") if each["class"] == "fill-over"]


def test_what_was_not_measured_is_said(tmp_path: Path) -> None:
    few = verdict(drift=None, performance=[row("all", 0.7)])
    found = shown(monitoring=seen(tmp_path, few))
    assert "No week has 30 outcomes yet" in section(found)
    assert "Drift was not measured" in section(found)
    nothing = [row("2026-10-05", 0.7, **dict.fromkeys(("mae_log", "anchor_error", "expected_error", "coverage")))]
    assert found.named("polyline") == shown(monitoring=seen(tmp_path, verdict(performance=nothing))).named("polyline")


# where something is wrong


@pytest.mark.parametrize(
    "broken",
    [
        "",
        "{",
        "[]",
        '{"at": "2026-11-22T00:00:00+00:00"}',
        "\x00\xff",
        json.dumps(verdict(at="yesterday")),
        json.dumps(verdict(at="9999-12-31T23:00:00-05:00")),
        json.dumps(verdict(at="2026-11-22T00:00:00")),
        json.dumps(verdict(performance=[row("all", 0.7) | {"week": "soon"}])),
        json.dumps(verdict(performance=[row("2026-10-05", float("nan"))])),
        json.dumps(verdict(performance=[row("2026-10-05", 1e300)])),
        json.dumps(verdict(drift=drift(score=float("inf")))),
        json.dumps(verdict(drift=drift(features=[{"name": "x"}]))),
        json.dumps(verdict(decision=None)),
    ],
)
def test_a_broken_verdict_is_a_sentence_without_a_path_and_the_others_stay(tmp_path: Path, broken: str) -> None:
    other = "clipcast-instagram-performance"
    kept(tmp_path, verdict(), other)
    text = section(shown(monitoring=seen(tmp_path, broken, [alert()])))
    assert "TikTok performance The verdict cannot be read; the next clipcast monitor writes it anew." in text
    assert "Decay : the error has risen by 12 %" in text
    assert "Instagram performance Needs attention" in text
    assert str(tmp_path) not in html_of(monitoring=seen(tmp_path, broken))


def test_a_verdict_that_is_a_folder_or_not_ours_to_read_is_told_too(tmp_path: Path) -> None:
    (tmp_path / MODEL / VERDICT).mkdir(parents=True)
    found = monitoring_view(tmp_path, deployed(), Standing(), NOW)
    assert found.verdicts[0].problem is not None


def test_where_nobody_has_looked_one_sentence_says_how_it_comes_about(tmp_path: Path) -> None:
    none = monitoring_view(tmp_path / "none", Deployed(), Standing(), NOW)
    assert "There is no verdict yet. The daily run looks" in section(shown(monitoring=none))
    serving = section(shown(monitoring=monitoring_view(tmp_path / "none", deployed(), Standing(), NOW)))
    assert "Nobody has looked at TikTok performance yet." in serving
    assert "clipcast monitor" in serving
    assert list(tmp_path.iterdir()) == []


def _said_everywhere(text: str) -> tuple[dict[str, Any], list[Alert]]:
    """A verdict and alerts with a text wherever there may be one."""
    features = [{"name": text, "distance": 0.5, "importance": 0.1, "weight": 0.05, "broken": text}]
    decision = {"reason": text, "next_step": text}
    said = {"sentences": [text, text], "decision": decision}
    found = verdict(semver=text, condition=text, drift=drift(features=features), **said)
    return found, [alert(sentence=f"{text}!", acknowledged_by=text), alert(model=text, sentence=text)]


@pytest.mark.parametrize("text", HOSTILE)
def test_no_words_of_a_verdict_or_an_alert_become_markup(tmp_path: Path, text: str) -> None:
    (hostile, alerts), (calm, tame) = _said_everywhere(text), _said_everywhere("a word")
    found = shown(monitoring=seen(tmp_path, hostile, alerts))
    assert len(found.elements) == len(shown(monitoring=seen(tmp_path, calm, tame)).elements)
    assert not found.named("script")
    assert not found.named("img")
    assert not [name for _, attributes in found.elements for name in attributes if name.startswith("on")]
    places = [inside for inside, each in found.texts if text in each]
    assert len(places) >= 6
    assert all("bdi" in inside for inside in places)
    assert not [attributes for _, attributes in found.elements if text in attributes.values()]


def test_a_path_in_a_sentence_is_cut(tmp_path: Path) -> None:
    said = ["the file /srv/home/bundles/ab12 is gone"]
    decision = {"reason": "see /srv/home/x/y.json", "next_step": "look into /srv/home/x/z.json"}
    text = section(shown(monitoring=seen(tmp_path, verdict(sentences=said, decision=decision))))
    assert "the file …/ab12 is gone" in text
    assert "/srv" not in text


# alerts


def test_an_alert_is_shown_once_with_since_when_and_its_state(tmp_path: Path) -> None:
    acknowledged = alert(kind=Kind.BROKEN, sentence="hour is always 0", acknowledged_by="ana", state=State.ACKNOWLEDGED)
    text = section(shown(monitoring=seen(tmp_path, alerts=[alert(), acknowledged])))
    assert "Decay : the error has risen by 12 % Open since 19 Nov 2026, 12:00 UTC" in text
    assert "Broken feature : hour is always 0 Acknowledged by ana, open since 19 Nov 2026" in text
    assert text.count("the error has risen by 12 %") == 1


def test_an_alert_of_a_model_without_a_verdict_is_shown_by_its_name(tmp_path: Path) -> None:
    text = section(shown(monitoring=seen(tmp_path, alerts=[alert(model="clipcast-youtube-performance")])))
    assert "Decay of YouTube performance : the error has risen" in text
    assert text.count("the error has risen by 12 %") == 2


def test_looking_for_alerts_makes_no_log(tmp_path: Path) -> None:
    read = asyncio.run(AlertReader(f"sqlite:///{tmp_path / 'predictions.db'}").latest())
    assert (read.problem, list(read.alerts)) == (None, [])
    assert list(tmp_path.iterdir()) == []


def test_alerts_are_read_as_they_stand_and_kept_where_the_database_goes_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_reading, "KEEP_S", 0.0)
    path = tmp_path / "predictions.db"
    uri = f"sqlite:///{path}"
    finding = Finding(MODEL, Kind.DECAY, "error", "the error has risen by 12 %", {})
    [made] = update_alerts(uri, MODEL, [finding], NOW, 7)

    async def look() -> list[Standing]:
        reader = AlertReader(uri)
        found = [await reader.latest()]
        acknowledge(uri, made.id, "ana")
        found.append(await reader.latest())
        path.write_bytes(b"no database" * 1_000)
        for beside in tmp_path.glob("predictions.db-*"):
            beside.unlink()
        return [*found, await reader.latest()]

    before, during, after = asyncio.run(look())
    assert [each.state for each in (*before.alerts, *during.alerts)] == [State.OPEN, State.ACKNOWLEDGED]
    assert after.alerts == during.alerts
    assert after.problem == "The database of alerts cannot be read just now."
    text = section(shown(monitoring=monitoring_view(tmp_path, Deployed(), after, NOW)))
    assert "cannot be read just now. The alerts here were read at" in text
    assert "Acknowledged by ana, open since 22 Nov 2026" in text


def test_a_database_of_alerts_that_never_answered_is_not_taken_for_no_alert(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_reading, "PATIENCE_S", 0.05)

    def slow(_: str) -> list[Alert]:
        time.sleep(0.3)
        return []

    monkeypatch.setattr(page_monitoring, "alerts_of", slow)

    async def look() -> tuple[Standing, float]:
        started = time.monotonic()
        return await AlertReader("sqlite:///x.db").latest(), time.monotonic() - started

    read, took = asyncio.run(look())
    assert took < 0.25
    text = section(shown(monitoring=monitoring_view(tmp_path, Deployed(), read, NOW)))
    assert "does not answer just now. Whether any alert is open is not known." in text


def test_the_page_of_an_app_shows_its_verdicts_and_alerts(settings: Settings) -> None:
    kept(settings.monitoring_dir, verdict())
    finding = Finding(MODEL, Kind.SKEW, "features", "3 of 100 answers rest on other features", {})
    update_alerts(settings.predictions_uri, MODEL, [finding], datetime.now(UTC), 7)

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(create_app(settings))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.get("/")

    answer = asyncio.run(ask())
    assert answer.status_code == 200
    text = section(Reader(answer.text))
    assert "Needs attention as of 22 Nov 2026" in text
    assert "Skew : 3 of 100 answers rest on other features Open since" in text


# in Chromium


def test_the_section_fits_a_phone_and_every_letter_stands_out(browser: Any, tmp_path: Path) -> None:
    weeks = [row(MONDAY + timedelta(weeks=week), 0.7 + 0.01 * week) for week in range(26) if week != 9]
    long = drift(features=[{"name": "W" * 200, "distance": 1, "importance": 1, "weight": 1, "broken": "W" * 200}])
    for model, found in (("tiktok", verdict(performance=weeks)), ("youtube", verdict(drift=long)), ("facebook", "{")):
        kept(tmp_path, found, f"clipcast-{model}-performance")
    alerts = [alert(), alert(model="W" * 200, sentence="W" * 200)]
    html = html_of(monitoring=monitoring_view(tmp_path, deployed(), Standing(alerts, problem="It is away."), NOW))
    css = (Path(page.__file__).parent / "static" / "page.css").read_text()
    beyond = "e => [...document.querySelectorAll('main *')].filter(e => e.getBoundingClientRect().right > 320.5)"
    for scheme in ("light", "dark"):
        context = browser.new_context(viewport={"width": 320, "height": 640}, color_scheme=scheme)
        tab = context.new_page()
        tab.set_content(html)
        tab.add_style_tag(content=css)
        tab.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        assert tab.evaluate("document.documentElement.scrollWidth") == 320
        assert tab.evaluate(f"{beyond}.map(e => e.outerHTML.slice(0, 80))") == []
        assert [each for each in tab.evaluate(BROKEN) if "WW" not in each] == []
        assert [fault for fault in tab.evaluate(AUDIT) if not fault.startswith("inline")] == []
        assert [each for each in tab.evaluate(LUMINANCE) if each[0] < 4.5] == []
        dashes = "[...document.querySelectorAll('polyline')].map(e => getComputedStyle(e).strokeDasharray)"
        assert len(set(tab.evaluate(dashes))) == 3  # the lines are told apart without their colours
        context.close()
