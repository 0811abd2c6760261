"""What goes wrong, as `application/problem+json` (RFC 9457): what, where, and what to do next."""

from __future__ import annotations

import http
import logging
import re
from collections.abc import Sequence
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Scope

from features.errors import ClipcastError, NoChampionError, SchemaError

MEDIA_TYPE = "application/problem+json"
MOST_FAULTS = 20

_ADVICE = {
    400: "; send JSON in UTF-8, as /docs shows",
    404: "; /docs lists what there is",
    405: "; /docs lists what there is",
}

_PATH = re.compile(r"(?<![\w/.])(?:[\w+.-]+://)?/+(?:[^\s/:;,'\"()]+/)+([^\s/:;,'\"()]*)")

_log = logging.getLogger(__name__)


class Fault(BaseModel):
    """A part of the request that cannot pass."""

    where: str = Field(examples=["body.published_at"])
    what: str = Field(examples=["Input should have timezone info"])


class Problem(BaseModel):
    """Why there is no answer."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str = Field(description="what is wrong, where, and what to do next")
    faults: list[Fault] = []


class ProblemError(HTTPException):
    """A request that cannot be answered, with the status to say so."""

    def __init__(self, status: int, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(status, detail, headers)

    def response(self) -> Response:
        """Return what to answer instead."""
        return problem(self.status_code, self.detail, headers=dict(self.headers or {}))


def problem(status: int, detail: str, faults: Sequence[Fault] = (), headers: dict[str, str] | None = None) -> Response:
    """Return the response that tells a problem."""
    told = Problem(title=http.HTTPStatus(status).phrase, status=status, detail=detail, faults=list(faults))
    return Response(orjson.dumps(told.model_dump()), status, headers, MEDIA_TYPE)


def without_paths(text: str) -> str:
    """Shorten every path of this machine to its last part: who asks need not know the rest.

    >>> without_paths("the model in /srv/clipcast/bundles/ab12 is damaged; run 3/4")
    'the model in …/ab12 is damaged; run 3/4'
    """
    return _PATH.sub(r"…/\1", text)


def defect(scope: Scope, error: Exception) -> Response:
    """Log an error that nobody foresaw, and return what to answer: nothing of it."""
    _log.error("%s %s failed", scope["method"], scope["path"], exc_info=error)
    return problem(500, "this should not have happened; the service's own log says what did, tell whoever runs it")


def tell_problems(app: FastAPI) -> None:
    """Let an app answer every error that it may meet as a problem, none of which shows a trace."""
    app.add_exception_handler(ProblemError, _of_ours)
    app.add_exception_handler(ClipcastError, _of_clipcast)
    app.add_exception_handler(RequestValidationError, _of_validation)
    app.add_exception_handler(HTTPException, _of_http)


async def _of_ours(_: Request, error: Any) -> Response:
    response: Response = error.response()
    return response


async def _of_clipcast(request: Request, error: Any) -> Response:
    if isinstance(error, NoChampionError):
        return problem(404, without_paths(str(error)))
    if isinstance(error, SchemaError):
        return problem(422, without_paths(str(error)))
    return defect(request.scope, error)


async def _of_validation(_: Request, error: Any) -> Response:
    faults = [Fault(where=".".join(map(str, each["loc"])), what=_words(each)) for each in error.errors()[:MOST_FAULTS]]
    first = f"{faults[0].where}: {faults[0].what}" if faults else "the request cannot be read"
    more = f", and {len(error.errors()) - 1} more" if len(error.errors()) > 1 else ""
    return problem(422, f"{first}{more}; correct it and send it again, /docs shows what is accepted", faults)


async def _of_http(_: Request, error: Any) -> Response:
    return problem(error.status_code, f"{error.detail}{_ADVICE.get(error.status_code, '')}", headers=error.headers)


def _words(fault: dict[str, Any]) -> str:
    """Return what is wrong without what was sent, which may be long, or not text at all."""
    return str(fault["msg"]).removeprefix("Value error, ")
