"""Keys of those who call the service: long random texts, of which only hashes are kept."""

from __future__ import annotations

import hashlib
import secrets

BYTES = 32


def make_key() -> tuple[str, str]:
    """Return a new key and the hash by which the settings know it.

    A key of so many random bytes cannot be guessed, so a plain hash of it is as good as a slow one.
    """
    key = secrets.token_urlsafe(BYTES)
    return key, hash_of(key.encode())


def hash_of(key: bytes) -> str:
    """Return the hash of a key, in hexadecimal."""
    return hashlib.sha256(key).hexdigest()
