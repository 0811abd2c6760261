"""Predictions to log, and a process that logs them as fast as a busy service does until it is stopped or killed."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import Any

from monitoring.log import Prediction, PredictionLog, Role, pack

MODEL = "clipcast-tiktok-performance"
NAMES = ("hour", "caption_length", "followers_log")
NOON = 1_767_268_800.0  # 2026-01-01T12:00:00Z


def prediction(number: int, **changes: Any) -> Prediction:
    """A prediction that is told apart by its number; a second after the one before."""
    fields: dict[str, Any] = {
        "id": f"{number:032x}",
        "at": NOON + number,
        "role": Role.CHAMPION,
        "model": MODEL,
        "version": 3,
        "semver": "1.2.0",
        "sha256": "a" * 64,
        "platform": "tiktok",
        "account_id": f"account {number % 7}",
        "post_id": f"post {number}",
        "published_s": int(NOON) + number,
        "inputs_sha256": "b" * 64,
        "inputs": b'{"caption":"a cat"}',
        "features": pack([number, 0.1, float("nan")]),
        "answer": b'{"views":[10.5,20,30]}' * 20,
        "latency_ms": 1.25,
        "cached": number % 2 == 0,
    }
    return Prediction(**{**fields, **changes})


def log_until_stopped(uri: str, first: int, count: int) -> None:
    """Log predictions from a number on, and tell each with the time when it was appended."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    log = PredictionLog(uri)
    log.start()
    try:
        for number in range(first, first + count):
            log.append(prediction(number, at=time.time()))
            os.write(1, f"{number} {time.time()}\n".encode())
            if number % 10 == 0:
                time.sleep(0.003)
    finally:
        log.close()


if __name__ == "__main__":
    log_until_stopped(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
