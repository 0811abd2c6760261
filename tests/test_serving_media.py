"""Files that callers name: none but those below the media folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from serving.media import media_file
from serving.problems import ProblemError


@pytest.fixture
def media(tmp_path: Path) -> Path:
    folder = tmp_path / "media"
    (folder / "drafts").mkdir(parents=True)
    (folder / "drafts" / "boat.mp4").write_bytes(b"video")
    (tmp_path / "secret.txt").write_text("secret")
    (folder / "out").symlink_to(tmp_path)
    (folder / "out.mp4").symlink_to(tmp_path / "secret.txt")
    return folder


def test_a_file_below_the_media_folder_is_found(media: Path) -> None:
    assert media_file(media, "drafts/boat.mp4").read_bytes() == b"video"


@pytest.mark.parametrize(
    "name",
    [
        "../secret.txt", "drafts/../../secret.txt", "drafts/../drafts/boat.mp4", "out/secret.txt", "out.mp4", "drafts",
        "/etc/passwd", "~/secret", "none.mp4", "", ".", "drafts/boat.mp4\0", "drafts\\boat.mp4", "x" * 5_000,
        "//etc/passwd",
    ],
)  # fmt: skip
def test_no_name_leads_out_of_the_media_folder_or_tells_what_is_outside(media: Path, name: str) -> None:
    with pytest.raises(ProblemError) as refused:
        media_file(media, name)
    assert refused.value.status_code == 422
    assert refused.value.detail == "video_path names no file below the media folder; put it there first"


def test_no_media_folder_holds_no_file(tmp_path: Path) -> None:
    with pytest.raises(ProblemError):
        media_file(tmp_path / "none", "boat.mp4")
