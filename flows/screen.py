"""The screen: what a person sees of text that came from outside does what text does, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

# Controls of a terminal, marks that turn the order of reading round, other ends of lines, and bytes that are no text.
_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


class Screen(Console):
    """A console that reads no markup in strings, and shows what a terminal would obey as its code instead.

    Colours are given as `rich.text.Text`, never as markup within a string.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, soft_wrap=True, **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render as any console does, but for the characters of text that are orders to a terminal."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=visible(segment.text))


def visible(text: str) -> str:
    r"""Return text with the code of every character that a terminal would obey in its place.

    >>> visible("a\x1b[2J")
    'a\\x1b[2J'
    """
    return _OBEYED.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def set_aside(rows: int, rejects: Path | None) -> Text:
    """Say how many rows could not be used, and where they are."""
    return Text.assemble((f"{rows:,} rows were set aside", "yellow"), f", each with the reason: {rejects}")
