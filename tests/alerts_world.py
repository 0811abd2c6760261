"""Findings, and receivers of alerts on this machine that answer as a test wishes."""

from __future__ import annotations

import json
import shutil
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from monitoring.alerts import Finding, Kind
from monitoring.predictions import TABLES
from registry.database import Database

MODEL = "clipcast-tiktok-performance"
MONDAY = datetime(2026, 1, 5, 6, tzinfo=UTC)


def empty_log(folder: Path) -> str:
    """A log with its tables and nothing in them; making these takes longer than most that is tested on them."""
    uri = f"sqlite:///{folder / 'predictions.db'}"
    Database(uri, tables=TABLES)
    return uri


def copy_of(uri: str, folder: Path) -> str:
    return f"sqlite:///{shutil.copy(uri.removeprefix('sqlite:///'), folder)}"


def finding(subject: str = "version 3", kind: Kind = Kind.DECAY, model: str = MODEL, **changes: Any) -> Finding:
    given = {"sentence": "The error is 0.62, 14 % above the holdout's 0.54.", "evidence": {"error": 0.62, "posts": 412}}
    return Finding(model, kind, subject, **{**given, **changes})


@dataclass
class Web:
    """A receiver of JSON: what it got, and with which status it answers."""

    port: int
    status: int = 200
    wait_s: float = 0.0
    got: list[dict[str, Any]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"json://127.0.0.1:{self.port}/hidden/path"

    @property
    def sentences(self) -> list[str]:
        return [str(each["message"]).partition("\n")[0] for each in self.got]


@contextmanager
def web_receiver() -> Iterator[Web]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            web.asked.append(f"POST {self.path}")
            time.sleep(web.wait_s)
            if web.status == 200:
                web.got.append(json.loads(body))
            self.send_response(web.status)
            if 300 <= web.status < 400:
                self.send_header("Location", f"http://127.0.0.1:{web.port}/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_GET(self) -> None:
            web.asked.append(f"GET {self.path}")
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    web = Web(server.server_port)
    with _running(server):
        yield web


@dataclass
class Mailbox:
    """A receiver of e-mail: the envelope and the text of each."""

    port: int
    got: list[tuple[str, list[str], str]] = field(default_factory=list)


@contextmanager
def mail_receiver() -> Iterator[Mailbox]:
    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            sender, receivers = "", list[str]()
            self.wfile.write(b"220 here\r\n")
            for line in self.rfile:
                words = line.decode().strip()
                answer = "250 fine"
                if words.upper().startswith("MAIL FROM:"):
                    sender = words[10:].split()[0]
                elif words.upper().startswith("RCPT TO:"):
                    receivers.append(words[8:].split()[0])
                elif words.upper() == "DATA":
                    self.wfile.write(b"354 go on\r\n")
                    text = b"".join(iter(self.rfile.readline, b".\r\n")).decode()
                    mailbox.got.append((sender, receivers, text))
                elif words.upper() == "QUIT":
                    answer = "221 bye"
                self.wfile.write(f"{answer}\r\n".encode())

    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    mailbox = Mailbox(server.server_address[1])
    with _running(server):
        yield mailbox


@contextmanager
def _running(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
