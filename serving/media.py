"""Files that callers name: none but those below the media folder."""

from __future__ import annotations

from pathlib import Path

from serving.problems import ProblemError


def media_file(root: Path, name: str) -> Path:
    """Return the file of that name below the media folder.

    Raises
    ------
    ProblemError
        The name leads elsewhere, by `..`, from the root or through a link, or to no plain file; which of them is
        not told, so that nobody can ask what else this machine holds.
    """
    refused = ProblemError(422, "video_path names no file below the media folder; put it there first")
    if "\0" in name or name.startswith(("/", "~")) or "\\" in name:
        raise refused
    path = root / name
    try:
        real, top = path.resolve(strict=True), root.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise refused from error
    if not real.is_relative_to(top) or not real.is_file() or real != top / name:
        raise refused
    return real
