"""Who is let in and with how much: keys, host names, rates and sizes; and what every answer carries along."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import ipaddress
import time
from collections import OrderedDict
from typing import Any

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from features.errors import SettingsError
from features.settings import ServiceSettings
from serving.keys import hash_of
from serving.measures import Measures
from serving.problems import ProblemError, defect

PATIENCE_S = 60.0
"""How long a caller may take to send a request, and the service to answer it."""

OPEN = ("/health",)
"""Answered without a key, so that whoever balances load need not have one."""

MOST_CALLERS = 10_000

POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; script-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"content-security-policy", POLICY.encode()),
]
"""What a browser must not do with an answer; the interactive documentation asks for more (see `_DOCS`)."""

_DOCS = ("/docs", "/redoc")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address.

    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_exposure(settings: ServiceSettings) -> None:
    """Refuse to listen to other machines without asking them for a key."""
    if not is_loopback(settings.host) and not settings.api_keys:
        raise SettingsError(
            f"{settings.host} can be reached from other machines, and no key is asked for; make one with clipcast key "
            "and set CLIPCAST_SERVICE__API_KEYS, or serve on 127.0.0.1"
        )


class Rate:
    """So many requests a second from each caller, with a second's worth saved up at most (a token bucket)."""

    def __init__(self, per_s: float) -> None:
        self._per_s = per_s
        self._most = max(1.0, per_s)
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_s(self, caller: str, now: float) -> float:
        """Take one request from a caller's allowance; return how long to wait where there is none."""
        left, since = self._left.pop(caller, (self._most, now))
        left = min(self._most, left + (now - since) * self._per_s)
        granted = left >= 1
        self._left[caller] = (left - granted, now)
        if len(self._left) > MOST_CALLERS:
            self._left.popitem(last=False)
        return 0.0 if granted else (1 - left) / self._per_s


class Gate:
    """ASGI middleware around the whole app."""

    def __init__(self, app: ASGIApp, settings: ServiceSettings, measures: Measures) -> None:
        self._app = app
        self._settings = settings
        self._measures = measures
        self._rate = Rate(settings.requests_per_s) if settings.requests_per_s else None
        # A page from elsewhere may not reach a service on this machine under a name of its own (DNS rebinding).
        own = {"localhost", "127.0.0.1", "::1", settings.host.strip("[]"), *settings.allowed_hosts}
        asked = is_loopback(settings.host) or bool(settings.allowed_hosts)
        self._hosts = {name.lower() for name in own} if asked else set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer why not."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        answer = _Answer(scope, send)
        try:
            headers = dict(scope["headers"])
            self._check(scope, headers)
            async with asyncio.timeout(PATIENCE_S):
                await self._app(scope, self._limited(headers, receive), answer.send)
        except ProblemError as error:
            await answer.instead(error.response())
        except TimeoutError:
            late = ProblemError(408, f"the request was not done within {PATIENCE_S:g} s; send it again")
            await answer.instead(late.response())
        except Exception as error:  # noqa: BLE001  whatever it is, the caller must hear of it
            await answer.instead(defect(scope, error))
        finally:
            self._measures.requested(_route(scope), answer.status, time.perf_counter() - started)

    def _check(self, scope: Scope, headers: dict[bytes, bytes]) -> None:
        if self._hosts and _host(headers) not in self._hosts:
            raise ProblemError(421, "the service is not called so; call it by its address, or add allowed_hosts")
        caller = (scope.get("client") or ("unknown",))[0]
        if self._settings.api_keys and scope["path"] not in OPEN:
            caller = self._known(headers)
        if self._rate is not None and (wait_s := self._rate.wait_s(caller, time.monotonic())):
            raise ProblemError(
                429, f"more than {self._settings.requests_per_s:g} requests a second; try again later",
                {"retry-after": str(max(1, round(wait_s)))},
            )  # fmt: skip

    def _known(self, headers: dict[bytes, bytes]) -> str:
        """Return the hash of the key that was sent, if it is one of those let in."""
        digest = hash_of(_key(headers))
        # Every key is compared, each in constant time, so that no time tells how near a guess was.
        matches = [hmac.compare_digest(digest, each) for each in self._settings.api_keys]
        if not any(matches):
            raise ProblemError(
                401, "a key is needed: send it as X-API-Key, as Authorization: Bearer, or as a browser's password",
                {"www-authenticate": 'Basic realm="clipcast", charset="UTF-8"'},
            )  # fmt: skip
        return digest

    def _limited(self, headers: dict[bytes, bytes], receive: Receive) -> Receive:
        """Return a way to receive the body that ends where it grows beyond the limit."""
        most = self._settings.max_body_bytes
        said = headers.get(b"content-length", b"0")
        if said.isdigit() and int(said) > most:
            raise _too_large(most)
        if b"content-length" in headers:
            return receive
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > most:
                raise _too_large(most)
            return message

        return counted


class _Answer:
    """The way back: adds headers, and remembers the status."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._send = send
        self._plain = scope["path"].startswith(_DOCS)
        self._scope = scope
        self.status = 0

    async def send(self, message: Message) -> None:
        """Pass a message on."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            added = HEADERS[:-1] if self._plain else HEADERS
            message["headers"] = [*message["headers"], *added]
        await self._send(message)

    async def instead(self, response: Response) -> None:
        """Answer with a problem, unless an answer has begun."""
        if not self.status:
            await response(self._scope, _nothing, self.send)


async def _nothing() -> Message:
    return {"type": "http.disconnect"}


def _too_large(most: int) -> ProblemError:
    return ProblemError(413, f"the request is larger than {most:,} bytes; send fewer posts at a time")


def _key(headers: dict[bytes, bytes]) -> bytes:
    """Return the key of a request from any of the places where it may stand."""
    if b"x-api-key" in headers:
        return headers[b"x-api-key"]
    kind, _, value = headers.get(b"authorization", b"").partition(b" ")
    if kind.lower() == b"basic":
        try:
            return base64.b64decode(value, validate=True).partition(b":")[2]
        except binascii.Error:
            return b""
    return value if kind.lower() == b"bearer" else b""


def _host(headers: dict[bytes, bytes]) -> str:
    """Return the name by which the service is called, without its port.

    >>> _host({b"host": b"[::1]:8000"}), _host({b"host": b"localhost:8000"})
    ('::1', 'localhost')
    """
    said = headers.get(b"host", b"").decode("latin-1").lower()
    return said[1:].partition("]")[0] if said.startswith("[") else said.partition(":")[0]


def _route(scope: Scope) -> str:
    route: Any = scope.get("route")
    return str(getattr(route, "path", "other"))
