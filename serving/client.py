"""Forecasts for Python callers, from a running service or from one within this process: the same answer either way.

    result = await PerformancePredictor().predict_performance("drafts/boat.mp4", "youtube", account_id="me")

A predictor that is used as a context manager keeps its connection, or its service, for the next call.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import datetime
from typing import Any, Self

import httpx
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, wait_random_exponential

from features.errors import ServiceError
from features.settings import ServiceSettings, Settings

PASSING = (429, 502, 503, 504)
"""Statuses that may be gone at the next attempt."""

FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0

_pause = wait_random_exponential(multiplier=FIRST_PAUSE_S, max=LONGEST_PAUSE_S)


class PerformancePredictor:
    """Asks the service at `client.endpoint`, or with ``local=True`` one that answers within this process.

    Raises
    ------
    ServiceError
        The service cannot be reached after all attempts, or refuses: its own words say what, where and what next.
    """

    def __init__(self, settings: Settings | None = None, *, local: bool = False, api_key: str | None = None) -> None:
        self._settings = settings or Settings.load()
        self._local = local
        self._headers = {} if api_key is None else {"x-api-key": api_key}
        self._kept = AsyncExitStack()
        self._client: httpx.AsyncClient | None = None

    async def __aenter__(self) -> Self:
        self._client = await self._kept.enter_async_context(self._opened())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._client = None
        await self._kept.aclose()

    async def predict_performance(
        self, video_path: str | None = None, platform: str = "tiktok", **post: Any
    ) -> dict[str, Any]:
        """Forecast views (or likes), engagement rate and score of a post; `post` holds what else is known of it."""
        return await self._ask("/predict_performance", {"video_path": video_path, "platform": platform, **post})

    async def predict_virality(
        self,
        video_path: str | None = None,
        platform: str = "tiktok",
        account_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Forecast how likely a post is to land in the top tenth of what its account would lead one to expect."""
        asked = {"video_path": video_path, "platform": platform, "account_id": account_id, "metadata": metadata or {}}
        return await self._ask("/predict_virality", asked)

    async def predict_posting_time(
        self, platform: str = "tiktok", account_id: str | None = None, target_countries: Sequence[str] = (), **post: Any
    ) -> dict[str, Any]:
        """Forecast what the hour of posting does for a post in the week to come."""
        asked = {"platform": platform, "account_id": account_id, "target_countries": list(target_countries), **post}
        return await self._ask("/predict_posting_time", asked)

    async def _ask(self, path: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        content = {name: _plain(value) for name, value in asked.items() if value is not None}
        if self._client is not None:
            return await self._attempts(self._client, path, content)
        async with self._opened() as client:
            return await self._attempts(client, path, content)

    async def _attempts(self, client: httpx.AsyncClient, path: str, content: Mapping[str, Any]) -> dict[str, Any]:
        attempts = AsyncRetrying(
            stop=stop_after_attempt(1 + self._settings.client.retry_attempts),
            retry=retry_if_exception(_may_pass),
            wait=_wait_s,
            reraise=True,
        )
        try:
            answer: dict[str, Any] = await attempts(_post, client, path, content)
        except httpx.HTTPStatusError as error:
            raise ServiceError(_words(error.response)) from error
        except httpx.HTTPError as error:
            raise ServiceError(
                f"no answer from {client.base_url}{path}: {str(error) or type(error).__name__}; start the service with "
                "clipcast serve, or set CLIPCAST_CLIENT__ENDPOINT"
            ) from error
        return answer

    @contextlib.asynccontextmanager
    async def _opened(self) -> AsyncIterator[httpx.AsyncClient]:
        timeout = self._settings.client.timeout_s
        if not self._local:
            async with httpx.AsyncClient(
                base_url=self._settings.client.endpoint, headers=self._headers, timeout=timeout
            ) as client:
                yield client
            return
        from serving.app import create_app

        app = create_app(self._settings.model_copy(update={"service": _open_to_this_process(self._settings.service)}))
        async with (
            app.state.service.running(app),
            httpx.AsyncClient(
                base_url="http://localhost", headers=self._headers, timeout=timeout, transport=httpx.ASGITransport(app)
            ) as client,
        ):
            yield client


def _open_to_this_process(service: ServiceSettings) -> ServiceSettings:
    """Return the settings without what guards a service against others."""
    return service.model_copy(update={"host": "127.0.0.1", "api_keys": (), "allowed_hosts": (), "requests_per_s": None})


async def _post(client: httpx.AsyncClient, path: str, content: Mapping[str, Any]) -> dict[str, Any]:
    response = await client.post(path, json=content)
    response.raise_for_status()
    answer: dict[str, Any] = response.json()
    return answer


def _may_pass(error: BaseException) -> bool:
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code in PASSING
    return isinstance(error, httpx.TransportError)


def _wait_s(state: RetryCallState) -> float:
    """Wait as long as the service asks for, and otherwise a random time that grows with each attempt."""
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, httpx.HTTPStatusError):
        asked = error.response.headers.get("retry-after", "")
        if asked.isdigit():
            return min(float(asked), LONGEST_PAUSE_S)
    return float(_pause(state))


def _words(response: httpx.Response) -> str:
    try:
        return f"{response.status_code}: {response.json()['detail']}"
    except (ValueError, KeyError, TypeError):
        return f"{response.status_code}: {response.reason_phrase}; is a clipcast service at {response.url}?"


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
