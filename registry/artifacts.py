"""The place where versions keep their files: tried before training starts, since they are written after it."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from features.errors import MissingExtraError, RegistryError
from features.safety import mask

_PROBE = ".clipcast-can-write"
_NEXT_STEP = {
    "NoSuchBucket": "make the bucket, or name another in CLIPCAST_ARTIFACTS_URI",
    "AccessDenied": "let these credentials write to the bucket",
    "InvalidAccessKeyId": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile",
    "SignatureDoesNotMatch": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile",
    "NoCredentialsError": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile",
    "EndpointConnectionError": "start the store, or set MLFLOW_S3_ENDPOINT_URL to where it is",
}


def check_writable(uri: str) -> None:
    """Write an empty file where artifacts go; other places than folders and S3 are left to MLflow.

    Raises
    ------
    RegistryError
        Nothing can be written there; the message says what to do.
    """
    parts = urlsplit(uri)
    if parts.scheme == "file":
        _write_file(Path(unquote(parts.path)))
    elif parts.scheme == "s3":
        _write_object(uri, parts.netloc, f"{parts.path.strip('/')}/{_PROBE}".lstrip("/"))


def _write_file(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / _PROBE
        probe.touch()
        probe.unlink(missing_ok=True)
    except OSError as error:
        raise RegistryError(
            f"artifacts cannot be written to {folder}: {error.strerror}; "
            "check the folder, or set CLIPCAST_ARTIFACTS_URI"
        ) from error


def _write_object(uri: str, bucket: str, key: str) -> None:
    try:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError as error:
        raise MissingExtraError("boto3", "s3") from error
    once = Config(connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 2})
    try:
        client = boto3.Session().client("s3", endpoint_url=os.environ.get("MLFLOW_S3_ENDPOINT_URL"), config=once)
        client.put_object(Bucket=bucket, Key=key, Body=b"")
        client.delete_object(Bucket=bucket, Key=key)
    except (BotoCoreError, ClientError, ValueError) as error:
        answered = error.response["Error"]["Code"] if isinstance(error, ClientError) else type(error).__name__
        step = _NEXT_STEP.get(answered, "check the bucket, the credentials and MLFLOW_S3_ENDPOINT_URL")
        raise RegistryError(f"artifacts cannot be written to {mask(uri)}: {error}; {step}") from error
