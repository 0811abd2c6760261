"""Who is let in, with how much, and what every answer carries along."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request

from features.errors import SettingsError
from features.settings import ServiceSettings, Settings
from monitoring.log import LogState
from serving import gate
from serving.gate import Gate, Rate, check_exposure
from serving.keys import make_key
from serving.measures import Measures
from serving.problems import tell_problems
from serving.versions import Deployed

LOCAL = "http://localhost:8000"


def service(**changed: Any) -> ServiceSettings:
    return Settings.load().service.model_copy(update=changed)


def asked(settings: ServiceSettings, *requests: httpx.Request, address: str = "127.0.0.1") -> list[httpx.Response]:
    """Send requests, one after the other, through the gate to an app that returns what it was sent."""
    app = FastAPI()
    tell_problems(app)

    @app.post("/echo")
    async def echo(request: Request) -> dict[str, int]:
        return {"bytes": len(await request.body())}

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError("the secret is in a folder")

    app.add_middleware(Gate, settings=settings, measures=measures())

    async def send() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app, client=(address, 5))
        async with httpx.AsyncClient(transport=transport) as client:
            return [await client.send(request) for request in requests]

    return asyncio.run(send())


def measures() -> Measures:
    return Measures(Deployed, lambda: LogState(0, 0, 0, None, None))


def post(content: Any = b"{}", host: str = LOCAL, **headers: str) -> httpx.Request:
    return httpx.Request(
        "POST", f"{host}/echo", content=content, headers={k.replace("_", "-"): v for k, v in headers.items()}
    )


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "example.org"])  # noqa: S104  refused, not bound
def test_no_other_machine_is_answered_without_a_key(host: str) -> None:
    with pytest.raises(SettingsError, match="clipcast key"):
        check_exposure(service(host=host))
    check_exposure(service(host=host, api_keys=(make_key()[1],)))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "localhost", "::1"])
def test_this_machine_needs_no_key(host: str) -> None:
    check_exposure(service(host=host))


def test_a_key_opens_however_it_is_sent_and_no_other_does() -> None:
    key, digest = make_key()
    basic = base64.b64encode(f"anyone:{key}".encode()).decode()
    wrong = [
        {},
        {"x_api_key": key + "x"},
        {"x_api_key": digest},
        {"authorization": "Basic %%%"},
        {"authorization": key},
    ]
    right = [{"x_api_key": key}, {"authorization": f"Bearer {key}"}, {"authorization": f"Basic {basic}"}]
    answers = asked(service(api_keys=(make_key()[1], digest)), *(post(**each) for each in [*wrong, *right]))
    assert [answer.status_code for answer in answers] == [401] * len(wrong) + [200] * len(right)
    assert answers[0].headers["www-authenticate"].startswith("Basic")
    assert "X-API-Key" in answers[0].json()["detail"]


def test_health_is_told_without_a_key() -> None:
    [answer] = asked(service(api_keys=(make_key()[1],)), httpx.Request("GET", f"{LOCAL}/health"))
    assert answer.status_code == 200


def test_a_page_from_elsewhere_does_not_reach_a_service_on_this_machine_by_a_name_of_its_own() -> None:
    names = [
        "http://evil.example:8000",
        "http://localhost.evil.example",
        LOCAL,
        "http://127.0.0.1",
        "http://[::1]:8000",
    ]
    answers = asked(service(), *(post(host=name) for name in names))
    assert [answer.status_code for answer in answers] == [421, 421, 200, 200, 200]
    assert asked(service(allowed_hosts=("evil.example",)), post(host=names[0]))[0].status_code == 200


def test_a_service_is_called_by_its_own_address_whatever_the_case_and_others_are_let_in_by_name() -> None:
    assert asked(service(host="127.0.0.2"), post(host="http://127.0.0.2:8000"))[0].status_code == 200
    assert asked(service(), post(host="http://LOCALHOST"))[0].status_code == 200
    outside = service(host="0.0.0.0", api_keys=("0" * 64,), allowed_hosts=("Clip.example",))  # noqa: S104
    names = ["http://clip.example", "http://localhost", "http://evil.example"]
    assert [each.status_code for each in asked(outside, *(post(host=name) for name in names))] == [401, 401, 421]


async def _pieces(count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b"x" * 600


def test_a_body_beyond_the_limit_is_refused_whether_its_length_is_said_or_not() -> None:
    settings = service(max_body_bytes=1_000)
    answers = asked(settings, post(b"x" * 1_000), post(b"x" * 1_001), post(_pieces(1)), post(_pieces(3)))
    assert [answer.status_code for answer in answers] == [200, 413, 200, 413]
    assert answers[1].headers["content-type"] == "application/problem+json"
    assert "1,000 bytes" in answers[3].json()["detail"]


def test_who_asks_too_often_is_told_when_to_come_back_and_others_are_not_held_up() -> None:
    settings = service(requests_per_s=0.1)
    mine = asked(settings, post(), post(), post())
    assert [answer.status_code for answer in mine] == [200, 429, 429]
    assert int(mine[1].headers["retry-after"]) >= 5


def test_a_rate_gives_what_it_says_in_the_long_run_and_forgets_nobody_to_be_generous() -> None:
    rate = Rate(10.0)
    granted = sum(rate.wait_s("me", now=second / 100) == 0 for second in range(1_000))
    assert granted == pytest.approx(10 + 10 * 10, abs=2)
    assert rate.wait_s("another", now=10.0) == 0


def test_an_error_that_nobody_foresaw_says_nothing_of_the_machine(caplog: pytest.LogCaptureFixture) -> None:
    [answer] = asked(service(), httpx.Request("GET", f"{LOCAL}/broken"))
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert "secret" in caplog.text


def test_every_answer_forbids_a_browser_what_it_needs_not_do() -> None:
    answers = asked(service(max_body_bytes=10), post(b"{}"), post(b"x" * 50), httpx.Request("GET", f"{LOCAL}/nothing"))
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


def test_who_is_too_slow_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "PATIENCE_S", 0.2)

    async def slowly() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.sleep(30)
        yield b"x"

    [answer] = asked(service(), post(slowly()))
    assert answer.status_code == 408
