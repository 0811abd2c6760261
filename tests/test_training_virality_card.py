"""The card of a virality version: its base rate first, and its gaps admitted."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.test_training_card import card
from training.drawing import Heading, save
from training.facts import Card, FactorFacts, OutputFacts, ViralityFacts
from training.rated import Rated, RatedReport, rated_ladder
from training.virality_card import render_virality_card
from training.virality_plots import draw_reliability, write_virality_pictures


def report(share: float = 0.1) -> RatedReport:
    rng = np.random.default_rng(2)
    chance = rng.beta(1, 9, 400)
    account = rng.integers(0, 40, 400)
    truth = (rng.random(400) < chance * share / 0.1).astype(float)
    levels = {"account": np.where(account < 9, "new", "known")}
    rungs = {
        "constant": Rated(account, truth, np.full(400, 0.1), levels),
        "account anchor": Rated(account, truth, 0.05 + chance / 2, levels),
        "model": Rated(account, truth, chance, levels),
    }
    return RatedReport(rungs, rated_ladder(rungs, replicates=100, seed=7), 0.1)


def virality_card(**changes: float) -> Card:
    judged = report()
    facts = ViralityFacts(
        base_rate=0.1,
        share=0.093,
        probability=0.098,
        thresholds={"mine/views": 4.2, "all others": 3.1},
        factors=(FactorFacts("factor_caption", "the caption's words", 0.98),),
    )
    pictures = {name: f"{name}.png" for name in ("ladder", "reliability", "slices", "importance")}
    model = "clipcast-tiktok-virality"
    facts = replace(facts, **changes)
    outputs = (OutputFacts("virality_score", "probability of going viral", "Brier score 0.08"),)
    facts_of_all = {"model": model, "platform": "tiktok", "ladder": judged.ladder, "outputs": outputs}
    return card(**facts_of_all, pictures=pictures, virality=facts)


def test_the_card_says_what_counts_how_often_it_happens_and_how_often_it_was_promised() -> None:
    text = render_virality_card(virality_card())
    assert "**The base rate is 10.0 %**" in text
    assert "| `mine/views` | 4.2 times |" in text
    assert "- Share of viral posts: 10.0 % in training, 9.3 % in the holdout" in text
    assert "- Mean probability given there: 9.8 %" in text
    assert "| `factor_caption` | the caption's words | 98.0 % |" in text
    assert "--family virality" in text
    assert "models:/clipcast-tiktok-virality@production" in text


def test_every_picture_stands_once_where_it_belongs() -> None:
    text = render_virality_card(virality_card())
    for name, section in (
        ("ladder", "## Ladder"),
        ("slices", "## Slices"),
        ("reliability", "## Calibration"),
        ("importance", "## Importance"),
    ):
        assert text.count(f"({name}.png)") == 1
        before = text[: text.index(f"({name}.png)")]
        assert before[before.rindex("\n## ") + 1 :].startswith(section)


def test_no_word_of_the_other_family_is_on_the_card() -> None:
    text = render_virality_card(virality_card())
    for foreign in ("MAE of log", "R²", "held out of training"):
        assert foreign not in text


@pytest.mark.parametrize(("probability", "told"), [(0.098, False), (0.12, True), (0.07, True)])
def test_probabilities_that_are_off_on_average_are_a_gap(probability: float, told: bool) -> None:
    text = render_virality_card(virality_card(probability=probability))
    assert ("On average the probabilities promise" in text) is told


def test_facts_of_another_family_are_no_virality_card() -> None:
    with pytest.raises(ValueError, match="lacks the facts"):
        render_virality_card(card())


HEADING = Heading("clipcast-tiktok-virality", "tiktok", "1.0.0", "mine", "views", simulated=False)


def test_all_pictures_are_drawn_even_where_nothing_went_viral(tmp_path: Path) -> None:
    written = write_virality_pictures(tmp_path, HEADING, report(0.0), {"hour": 1.0}, {"hour": "timing"})
    assert list(written) == ["ladder", "reliability", "importance", "slices"]
    assert all(path.stat().st_size > 5_000 for path in written.values())


def test_the_reliability_curve_says_the_base_rate_and_repeats_to_the_byte(tmp_path: Path) -> None:
    figures = [draw_reliability(HEADING, report().model, 0.1) for _ in range(2)]
    assert "base rate in training, 10.0 %" in [text.get_text() for text in figures[0].axes[0].get_legend().get_texts()]
    one, other = (save(figure, tmp_path / f"{place}.png").read_bytes() for place, figure in enumerate(figures))
    assert one == other
