"""Where artifacts go is tried before training, and every way in which it cannot be used has its next step."""

import os
from pathlib import Path

import pytest

from features.errors import RegistryError
from registry.artifacts import check_writable
from registry.tracking import Tracking
from tests.s3_world import ObjectStore


@pytest.fixture
def bucket(object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in object_store.environment.items():
        monkeypatch.setenv(name, value)
    return object_store.new_bucket()


def test_a_bucket_that_can_be_written_is_left_as_it_was(object_store: ObjectStore, bucket: str) -> None:
    check_writable(f"s3://{bucket}")
    check_writable(f"s3://{bucket}/some/prefix")
    assert object_store.keys(bucket) == []


@pytest.mark.usefixtures("bucket")
def test_a_bucket_that_does_not_exist_is_named_with_what_to_do() -> None:
    with pytest.raises(RegistryError, match=r"s3://nobodys/x: .*NoSuchBucket.*make the bucket.*CLIPCAST_ARTIFACTS_URI"):
        check_writable("s3://nobodys/x")


def test_missing_credentials_are_told_before_anything_else(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(RegistryError, match=r"credentials.*set AWS_ACCESS_KEY_ID"):
        Tracking(f"sqlite:///{tmp_path}/mlflow.db", f"s3://{bucket}", tmp_path).ping()
    assert not (tmp_path / "mlflow.db").exists()


def test_a_store_that_is_down_is_told_at_once(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(RegistryError, match="MLFLOW_S3_ENDPOINT_URL to where it is"):
        check_writable(f"s3://{bucket}")


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RegistryError, match="CLIPCAST_ARTIFACTS_URI"):
        check_writable((tmp_path / "file" / "artifacts").as_uri())
    check_writable((tmp_path / "new folder").as_uri())
    assert list((tmp_path / "new folder").iterdir()) == []
