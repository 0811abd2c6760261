"""What every process of clipcast keeps to: its files are its user's alone, pickles stay shut, secrets are hidden."""

import os
import re
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from urllib.parse import unquote

from features.errors import ClipcastError

PRIVATE = 0o077
"""The umask that leaves files 0600 and folders 0700."""

NO_PICKLES = {"MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"}
"""MLflow would otherwise unpickle whatever a version holds."""

LEAST_LENGTH = 6
"""Shorter values of variables are words such as `true`, not secrets; in an address every password is hidden."""

# Database drivers read everything up to the last @ as the password, slashes too; in a web address the path may hold
# an @ of its own, and who stands alone before the host is often a token.
_PASSWORD = re.compile(
    r"((?<!http)(?<!https)://[^:/\s]*:).+(?=@)"
    r"|(https?://[^/?#:\s]*:)(?:[^/?#\s]+|(?!\d*[/?#]).+)(?=@)",
    re.IGNORECASE,
)
_LONE_USER = re.compile(r"(https?://)[^/?#:\s]+(?=@[^/?#@\s]*(?:[/?#\s]|$))", re.IGNORECASE)
_SECRET_PARAMETER = re.compile(r"([?&][^=&]*(?:pass|secret|token|key)[^=&]*=)[^&]*", re.IGNORECASE)
_ADDRESS = re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s'\"]+", re.IGNORECASE)
_SECRET_NAME = re.compile(r"PASS|_PWD$|SECRET|TOKEN|APIKEY|(^|_)KEY($|_)|CONNECTION_STRING")

_usual: list[int] = []


def protect() -> None:
    """Keep to all of it from here on; an entry point calls this first, and child processes inherit it."""
    previous = os.umask(PRIVATE)
    if not _usual:
        _usual.append(previous)
    os.environ.update(NO_PICKLES)
    sys.excepthook = print_redacted
    threading.excepthook = _print_redacted_of_thread


@contextmanager
def as_the_user_usually_writes() -> Iterator[None]:
    """Write with the permissions that the process started with: for files that a user asked for by name."""
    if not _usual:
        yield
        return
    private = os.umask(_usual[0])
    try:
        yield
    finally:
        os.umask(private)


def mask(uri: str) -> str:
    """Hide the password of an address, a web address's lone user, and parameters that look like secrets.

    >>> mask("postgresql://me@corp:word@host/name"), mask("https://token@host:5000/x@y?api_key=abc")
    ('postgresql://me@corp:***@host/name', 'https://***@host:5000/x@y?api_key=***')
    """
    hidden = _LONE_USER.sub(r"\1***", _PASSWORD.sub(r"\1\2***", uri))
    return _SECRET_PARAMETER.sub(r"\1***", hidden)


def redact(text: str) -> str:
    """Hide the secrets that the environment holds wherever a text repeats them, and those of any address in it.

    The words of other libraries go through here before they are shown or kept.
    """
    for secret in sorted(_secrets(), key=len, reverse=True):
        text = text.replace(secret, "***")
    return _ADDRESS.sub(lambda found: mask(found.group()), text)


def words_of(error: BaseException) -> str:
    """What an error says, without secrets: one of clipcast's own as it stands, another behind the name of its kind."""
    return redact(str(error) if isinstance(error, ClipcastError) else f"{type(error).__name__}: {error}")


def _secrets() -> set[str]:
    """Passwords and keys in the environment's addresses, and the values of variables named like secrets."""
    found: set[str] = set()
    for name, value in os.environ.items():
        if _SECRET_NAME.search(name.upper()) and len(value) >= LEAST_LENGTH:
            found.add(value)
        elif "://" in value:
            found |= {secret for secret in _secrets_of(value) if len(secret) >= LEAST_LENGTH}
    return found


def _secrets_of(uri: str) -> set[str]:
    """The secrets in an address, as they stand there and decoded, since libraries repeat either.

    A lone user is none: it may be a word that stands in any sentence.
    """
    hidden = {found.group()[len(found.group(1) or found.group(2)) :] for found in _PASSWORD.finditer(uri)}
    query = uri.partition("?")[2]
    hidden |= {found.group()[len(found.group(1)) :] for found in _SECRET_PARAMETER.finditer(f"?{query}")}
    return hidden | {unquote(secret) for secret in hidden}


def print_redacted(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print a traceback as Python would, without secrets."""
    sys.stderr.write(redact("".join(traceback.format_exception(kind, error, trace))))


def _print_redacted_of_thread(failed: threading.ExceptHookArgs) -> None:
    """Print what ended a thread as Python would, without secrets."""
    if failed.exc_type is SystemExit or failed.exc_value is None:
        return
    sys.stderr.write(f"Exception in thread {failed.thread.name if failed.thread else 'unknown'}:\n")
    print_redacted(failed.exc_type, failed.exc_value, failed.exc_traceback)
