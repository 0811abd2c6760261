"""CSV files that a person may open in a spreadsheet, where text from outside must not become a formula."""

import polars as pl

_FORMULA = r"^(['=+@\t\r\n\x{ff0b}\x{ff0d}\x{ff1d}\x{ff20}]|-[0-9A-Za-z_.-]*[^0-9A-Za-z_.-])"
"""What a spreadsheet takes for a formula, in full width too, and what looks as if it were guarded already.

Behind a hyphen letters, digits, points and hyphens alone are a number or a name, which can call nothing: such are
the ids of YouTube, and they stay as they are.
"""


def guarded(frame: pl.DataFrame) -> pl.DataFrame:
    """Return a frame with an apostrophe before every text that a spreadsheet would run, and before one of its own.

    Taking one apostrophe away from each text that starts with one gives the texts back as they were.

    >>> guarded(pl.DataFrame({"id": ["=1+1", "-cA9_x", "'s"]}))["id"].to_list()
    ["'=1+1", '-cA9_x', "''s"]
    """
    return frame.with_columns(pl.col(pl.String).str.replace(_FORMULA, "'${1}"))
