"""Forecasts for Python callers: the same answer over HTTP and within the process, and patience with what passes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from features.errors import ServiceError
from features.settings import Settings
from serving.client import PerformancePredictor
from serving.keys import make_key
from tests.service_world import a_workspace, running_service


def at(url: str, settings: Settings | None = None, **changed: Any) -> Settings:
    settings = settings or Settings.load()
    client = settings.client.model_copy(update={"endpoint": url, **changed})
    return settings.model_copy(update={"client": client})


@contextmanager
def answering(*answers: tuple[int, dict[str, str], bytes]) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """A server that answers so, one request after the other, and keeps the headers of each."""
    left, seen = list(answers), []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            seen.append(dict(self.headers))
            status, headers, content = left.pop(0)
            self.send_response(status)
            for name, value in {**headers, "content-length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        server.server_close()


def ask(settings: Settings, **given: Any) -> dict[str, Any]:
    return asyncio.run(PerformancePredictor(settings, **given).predict_performance(None, "tiktok", account_id="me"))


def test_the_answer_is_the_same_over_http_and_within_the_process(tmp_path: Path) -> None:
    workspace = a_workspace(tmp_path)
    post = {name: value for name, value in workspace.post().items() if name != "platform"}

    async def all_three(predictor: PerformancePredictor) -> list[dict[str, Any]]:
        async with predictor:
            return [
                await predictor.predict_performance(None, "tiktok", **post),
                await predictor.predict_posting_time("tiktok", post["account_id"], ["GB"]),
            ]

    with running_service(workspace.settings) as service:
        remote = asyncio.run(all_three(PerformancePredictor(at(service.url, workspace.settings))))
    local = asyncio.run(all_three(PerformancePredictor(workspace.settings, local=True)))
    for one, other in zip(remote, local, strict=True):
        one.pop("prediction_id", None)
        other.pop("prediction_id", None)
    assert remote[0] == local[0]
    assert remote[1]["sentence"]
    assert set(remote[1]) == set(local[1])


def test_keys_limits_and_names_of_a_service_are_none_for_the_own_process(tmp_path: Path) -> None:
    guarded = {"api_keys": [make_key()[1]], "allowed_hosts": ["clip.example"], "requests_per_s": 0.001}
    workspace = a_workspace(tmp_path, service=guarded)

    async def twice() -> list[bool]:
        async with PerformancePredictor(workspace.settings, local=True) as predictor:
            return ["views" in await predictor.predict_performance(None, "tiktok") for _ in range(2)]

    assert asyncio.run(twice()) == [True, True]


def test_what_passes_is_waited_for_and_what_is_wrong_is_told_at_once() -> None:
    busy = (503, {}, b"{}")
    with answering(busy, (429, {"retry-after": "0"}, b"{}"), (200, {}, b'{"score": 1}')) as (url, seen):
        assert ask(at(url)) == {"score": 1}
        assert len(seen) == 3
    with answering((422, {}, b'{"detail": "body.platform: is wrong"}')) as (url, seen):
        with pytest.raises(ServiceError, match=r"422: body\.platform: is wrong"):
            ask(at(url))
        assert len(seen) == 1


def test_attempts_end() -> None:
    with answering(*[(503, {}, b"<html>")] * 3) as (url, seen):
        with pytest.raises(ServiceError, match="is a clipcast service at"):
            ask(at(url, retry_attempts=2))
        assert len(seen) == 3


def test_a_service_that_is_not_there_is_named_with_what_to_do() -> None:
    with pytest.raises(ServiceError, match="clipcast serve"):
        ask(at("http://127.0.0.1:9", retry_attempts=0))


def test_a_key_is_sent_along() -> None:
    key, _ = make_key()
    with answering((200, {}, b"{}")) as (url, seen):
        ask(at(url), api_key=key)
    assert seen[0]["x-api-key"] == key
