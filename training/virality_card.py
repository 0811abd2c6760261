"""The model card of a virality version: what counts as viral, how good probabilities are, and what explains them."""

from __future__ import annotations

from training.card import (
    SIMULATED,
    data_part,
    features_part,
    gaps_part,
    gate_part,
    importance_part,
    percent,
    picture,
    platform_name,
    slices_part,
    training_part,
)
from training.facts import Card, ViralityFacts
from training.gaps import NEW_ACCOUNTS
from training.ladder import MODEL, in_words, markdown_table

_SLICE_METRICS = ("brier", "auc")


def render_virality_card(card: Card) -> str:
    """Write the card as markdown; the same facts give the same text."""
    if card.virality is None:
        raise ValueError(f"the card of {card.model} {card.version} lacks the facts of a virality model")
    facts = card.virality
    sections = (
        _title(card, facts),
        _use(card),
        _target(card, facts),
        data_part(card),
        training_part(card),
        _ladder(card),
        slices_part(card, _SLICE_METRICS),
        _calibration(card, facts),
        _cold_start(card),
        _factors(facts),
        importance_part(card),
        gate_part(card),
        gaps_part(card),
        _loading(card),
        features_part(card),
    )
    return "\n".join(section for section in sections if section)


def _title(card: Card, facts: ViralityFacts) -> str:
    return (
        f"# {card.model} {card.version}\n\n"
        f"{SIMULATED if card.data.simulated else ''}"
        f"Says how likely a short video on {platform_name(card)} is to go viral, before it is posted: to land in the "
        "top tenth beside what its account usually reaches. "
        f"**The base rate is {percent(facts.base_rate)}**: a score of that much says nothing in particular of a post.\n"
    )


def _use(card: Card) -> str:
    return (
        "## Intended use\n\n"
        f"- Compare drafts of accounts on {platform_name(card)} by their odds of doing better than usual.\n"
        "- Find the few posts of a plan that are worth an effort, knowing how often such a choice is right.\n\n"
        "Not for: comparing how many people two accounts reach, since each is measured beside itself; deciding about "
        "people, pay or moderation; proving that a change caused a result; other platforms; sources that choose their "
        "posts in other ways than those listed under Data.\n"
    )


def _target(card: Card, facts: ViralityFacts) -> str:
    rows = [[f"`{output.name}`", output.meaning, output.error] for output in card.outputs]
    levels = [[f"`{name}`", f"{times:,.1f} times"] for name, times in facts.thresholds.items()]
    return (
        "## What is predicted\n\n"
        f"A post is viral when its {card.outcome} {card.horizon_days:g} days after publication (at the look nearest "
        f"to that age of those made after {card.maturity_days:g} days or more) exceed the account's anchor, as known "
        "when it was published, by more than nine of ten training posts of its population did:\n\n"
        + markdown_table(["Population", f"{card.outcome.capitalize()} beside the anchor"], levels)
        + "\n"
        + markdown_table(["Output", "Meaning", "Error on the holdout"], rows)
    )


def _ladder(card: Card) -> str:
    ladder = card.ladder
    return (
        "## Ladder\n\n"
        f"On {ladder.posts:,} holdout posts of {ladder.accounts:,} accounts; in brackets 95 % intervals from "
        f"{ladder.replicates:,} resamples of accounts. The constant is the base rate of training; the account anchor "
        "a logistic line on what is known of the account alone (outcomes known, their spread, anchor less prior, "
        "followers), calibrated as the model is. AUC: the chance that a viral post is given more than another one. "
        "Calibration error: mean distance of probability and share over ten bins, which chance alone keeps above 0. "
        "Top-tenth precision: of the tenth given most, the share that went viral.\n\n"
        f"{ladder.to_markdown()}\n"
        f"Gain of the model over the account anchor in Brier score: {ladder.gain.words(percent=True)}.\n"
        f"{picture(card, 'ladder', 'The ladder, metric by metric')}"
    )


def _calibration(card: Card, facts: ViralityFacts) -> str:
    return (
        "## Calibration\n\n"
        f"{card.interval_method}\n\n"
        f"- Share of viral posts: {percent(facts.base_rate)} in training, {percent(facts.share)} in the holdout\n"
        f"- Mean probability given there: {percent(facts.probability)}\n"
        f"- Calibration error: {in_words('calibration_error', card.ladder.rungs[MODEL]['calibration_error'])}\n"
        "- Confidence: 1 less the width of the interval\n"
        f"{picture(card, 'reliability', 'Probabilities given, and shares that went viral')}"
    )


def _cold_start(card: Card) -> str:
    text = (
        "## Cold start\n\n"
        "An account without mature earlier posts is measured beside what accounts like it reach. Trees have learned "
        "every post once more as if its account had been new. "
    )
    for row in card.ladder.slices:
        if (row.slice, row.level) == NEW_ACCOUNTS:
            model = row.rungs[MODEL]
            return text + (
                f"On the {row.posts:,} holdout posts of {row.accounts:,} such accounts: Brier score "
                f"{in_words('brier', model['brier'])}, AUC {in_words('auc', model['auc'])}.\n"
            )
    return text + "The holdout has no such posts, so this has not been measured.\n"


def _factors(facts: ViralityFacts) -> str:
    rows = [[f"`{factor.name}`", factor.meaning, percent(factor.known)] for factor in facts.factors]
    return (
        "## Factors\n\n"
        "Each is what a group of features adds to the log odds (exact Shapley values of the trees), from 0 to 1 by "
        "where that falls among training posts: 0.5 is usual. It describes the forecast, not what a change would do. A "
        "factor of which nothing is known for a post is empty.\n\n"
        + markdown_table(["Factor", "Speaks of", "Known in the holdout"], rows)
    )


def _loading(card: Card) -> str:
    return (
        "## How to use it\n\n"
        "```sh\n"
        "clipcast predict posts.csv --family virality --out forecasts.csv\n"
        f"mlflow models serve -m models:/{card.model}@production --env-manager local\n"
        "```\n\n"
        "Both take posts in the import format with the outcome columns empty or absent.\n"
    )
