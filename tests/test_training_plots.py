import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from matplotlib.colors import to_hex

from training.drawing import BLUE, GREY, VERMILION, Heading, count_ticks, save, titled_figure
from training.evaluate import Scored, ladder
from training.plots import (
    TOP_FEATURES,
    Evidence,
    draw_calibration,
    draw_importance,
    draw_ladder,
    draw_predicted_actual,
    draw_slices,
    write_pictures,
)

HEADING = Heading("clipcast-tiktok-performance", "tiktok", "1.2.0", "tiktok, tiktok_hits", "views", simulated=False)
LEVELS = {0.5: (0.52, 0.01), 0.8: (0.79, 0.012), 0.95: (0.96, 0.005)}
NAMES = ("ladder", "predicted_actual", "calibration", "importance", "slices")


def rungs(posts=300, accounts=30, worse_for_images=0.0):
    rng = np.random.default_rng(2)
    account = rng.integers(0, accounts, posts)
    size = rng.normal(8, 2, accounts)[account]
    truth = np.clip(size + rng.normal(0, 1, posts), 0, None)
    kind = np.array(["video", "image", "carousel"])[np.arange(posts) % 3]

    def scored(prediction, half_width):
        interval = prediction - half_width, prediction + half_width
        return Scored(account, truth, prediction, *interval, 5 * truth, 5 * prediction, {"media type": kind})

    return {
        "constant": scored(np.full(posts, 8.0), np.nan),
        "account anchor": scored(size, np.nan),
        "model": scored((size + truth) / 2 + np.where(kind == "image", worse_for_images, 0.0), 0.7),
    }


@cache
def evidence() -> Evidence:
    importance = {f"feature_{number:02d}": 1 / (number + 1) / 4 for number in range(26)}
    groups = {name: ("account", "words", "timing")[place % 3] for place, name in enumerate(importance)}
    scored = rungs()
    found = ladder(scored, 8.0, 100)
    return Evidence(HEADING, found, scored["model"], 0.8, LEVELS, importance, groups)


def words_of(figure) -> str:
    """Everything that is written on a figure."""
    from matplotlib.text import Text

    return " | ".join(text.get_text() for text in figure.findobj(Text))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> dict[str, bytes]:
    paths = write_pictures(tmp_path_factory.mktemp("pictures"), evidence())
    return {name: path.read_bytes() for name, path in paths.items()}


def test_all_pictures_are_drawn_without_words_about_the_machine(drawn):
    assert tuple(drawn) == NAMES
    for name, content in drawn.items():
        assert content.startswith(b"\x89PNG"), name
        assert b"tEXt" not in content, name


def test_the_same_facts_give_the_same_bytes_even_from_platforms_that_draw_side_by_side(drawn, tmp_path):
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda name: write_pictures(tmp_path / name, evidence()), ("a", "b")))
    for paths in both:
        assert {name: path.read_bytes() for name, path in paths.items()} == drawn


def test_drawing_leaves_no_trace_in_the_program(tmp_path):
    code = (
        "import sys, training.plots, training.card\n"
        "assert 'matplotlib' not in sys.modules\n"
        "from pathlib import Path\n"
        "from training.drawing import Heading, save, titled_figure\n"
        "import matplotlib\n"
        # Reading the backend is what chooses one, so it is left out.
        "def settings(): return {k: matplotlib.rcParams[k] for k in matplotlib.rcParams if k != 'backend'}\n"
        "before = settings()\n"
        "heading = Heading('m', 'youtube', '1.0.0', 's', 'views', False)\n"
        f"save(titled_figure(heading, 'title', (4, 3)), Path({str(tmp_path / 'x.png')!r}))\n"
        "assert settings() == before\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert (tmp_path / "x.png").stat().st_size > 1000


def every_picture(heading: Heading):
    known = evidence()
    return (
        draw_ladder(heading, known.ladder, 0.8),
        draw_predicted_actual(heading, known.scored),
        draw_calibration(heading, known.ladder, 0.8, LEVELS),
        draw_importance(heading, known.importance, known.groups),
        draw_slices(heading, known.ladder),
    )


def test_every_picture_says_platform_version_and_source_and_whether_the_data_are_simulated():
    for figure in every_picture(HEADING):
        assert "TikTok  ·  clipcast-tiktok-performance, version 1.2.0  ·  data: tiktok, tiktok_hits" in words_of(figure)
        assert "simulated" not in words_of(figure)
    for figure in every_picture(replace(HEADING, simulated=True)):
        assert "simulated data" in words_of(figure)


def test_the_axes_of_counts_are_labelled_in_plain_units():
    places, names = count_ticks(-0.3, np.log1p(3_000_000))
    assert names == ["0", "1", "10", "100", "1k", "10k", "100k", "1M"]
    assert places[4] == pytest.approx(np.log1p(1000))
    written = words_of(draw_predicted_actual(HEADING, evidence().scored))
    assert "predicted views" in written
    assert "10k" in written
    assert "10^" not in written


def test_the_ladder_says_unknown_where_a_metric_is_unknown():
    figure = draw_ladder(HEADING, evidence().ladder, 0.8)
    # Spearman of the constant, coverage and width of both rungs that give no intervals.
    assert words_of(figure).count("unknown") == 5
    assert len(figure.axes) == 8


def test_only_the_most_important_features_are_shown_the_first_on_top():
    figure = draw_importance(HEADING, evidence().importance, evidence().groups)
    rows = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert rows == [f"feature_{number:02d}" for number in range(TOP_FEATURES)]
    assert figure.axes[0].yaxis_inverted()
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == [
        "account",
        "words",
        "timing",
    ]


def test_a_slice_is_blue_where_the_model_is_better_and_red_where_it_is_worse():
    found = ladder(rungs(worse_for_images=4.0), 8.0, 200)
    axes = draw_slices(HEADING, found).axes[0]
    rows = [label.get_text() for label in axes.get_yticklabels()]
    colours = {
        row.split("  (")[0]: to_hex(container.lines[0].get_color())
        for row, container in zip(rows, axes.containers, strict=True)
    }
    assert colours["media type: video"] == BLUE.lower()
    assert colours["media type: image"] == VERMILION.lower()
    assert colours["all posts"] in (VERMILION.lower(), GREY.lower())


def test_one_hopeless_slice_does_not_squeeze_the_others():
    found = ladder(rungs(worse_for_images=30.0), 8.0, 50)
    assert draw_slices(HEADING, found).axes[0].get_xlim()[0] == -100


def test_calibration_without_levels_shows_the_one_that_is_served():
    figure = draw_calibration(HEADING, evidence().ladder, 0.8, {})
    (container,) = figure.axes[0].containers
    assert container.lines[0].get_xdata()[0] == pytest.approx(80)


@pytest.mark.parametrize("posts", [1, 30])
def test_pictures_are_drawn_of_next_to_nothing(tmp_path, posts):
    few = {rung: replace(one.take(np.arange(300) < posts), slices={}) for rung, one in rungs().items()}
    one_account = {rung: replace(one, account=np.zeros(posts, np.int64)) for rung, one in few.items()}
    for place, scored in enumerate((few, one_account)):
        found = ladder(scored, 8.0, 20)
        nothing = Evidence(HEADING, found, scored["model"], 0.8, {0.8: (1.0, np.nan)}, {}, {})
        assert len(write_pictures(tmp_path / str(place), nothing)) == len(NAMES)


def test_names_from_the_data_are_written_as_they_are(tmp_path):
    odd = replace(HEADING, source="a$b$ {c} _d^e")
    figure = draw_importance(odd, {"cost_$x$": 0.5, "_hidden": 0.5}, {"cost_$x$": "m$o$"})
    assert "a$b$ {c} _d^e" in words_of(figure)
    save(figure, tmp_path / "odd.png")


def test_the_title_has_its_own_room_whatever_the_height():
    for height in (3.0, 12.0):
        figure = titled_figure(HEADING, "title", (6, height))
        assert (1 - figure.texts[0].get_position()[1]) * height == pytest.approx(0.12)
