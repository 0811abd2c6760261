"""The model card: what a version predicts, from what, how well, and where it falls short.

The sections follow Mitchell et al. (2019), "Model cards for model reporting", FAT* 2019, 220-229: details,
intended use, factors, metrics, evaluation and training data, quantitative analyses, caveats.
"""

from __future__ import annotations

from itertools import groupby
from math import isfinite

from training.drawing import PLATFORM_NAMES
from training.facts import Card, FeatureFacts
from training.gaps import NEW_ACCOUNTS, find_gaps
from training.ladder import ANCHOR, MODEL, WORDS, SliceRow, in_words, markdown_table
from training.plots import TOP_FEATURES

__all__ = ["Card", "render_card"]

SIMULATED = "> **Simulated data.** Every number on this card was made from simulated posts.\n\n"

_SLICE_METRICS = ("mae_log", "r2", "coverage")


def render_card(card: Card) -> str:
    """Write the card as markdown; the same facts give the same text."""
    sections = (
        _title(card),
        _use(card),
        _target(card),
        data_part(card),
        training_part(card),
        _ladder(card),
        slices_part(card),
        _intervals(card),
        _cold_start(card),
        importance_part(card),
        gate_part(card),
        gaps_part(card),
        _loading(card),
        features_part(card),
    )
    return "\n".join(section for section in sections if section)


def _title(card: Card) -> str:
    return (
        f"# {card.model} {card.version}\n\n"
        f"{SIMULATED if card.data.simulated else ''}"
        f"Forecasts the {card.outcome} that a short video on {platform_name(card)} will reach, before it is "
        f"posted, with an interval meant to hold {_promise(card)} of outcomes. For creators, "
        "marketers and the tools they plan with.\n"
    )


def _use(card: Card) -> str:
    return (
        "## Intended use\n\n"
        f"- Compare drafts, plan posts and set expectations for accounts on {platform_name(card)}, the interval "
        "always beside the number.\n"
        "- Score batches of planned posts and watch how forecasts fare once outcomes mature.\n\n"
        "Not for: deciding about people, pay or moderation; proving that a change caused a result; other "
        "platforms; sources that choose their posts in other ways than those listed under Data.\n"
    )


def _target(card: Card) -> str:
    rows = [[f"`{output.name}`", output.meaning, output.error] for output in card.outputs]
    return (
        "## What is predicted\n\n"
        f"The outcome of a post is its {card.outcome} {card.horizon_days:g} days after publication: at the look "
        f"nearest to that age of those made after {card.maturity_days:g} days or more. Younger posts are left out.\n\n"
        + markdown_table(["Output", "Meaning", "Error on the holdout"], rows)
    )


def data_part(card: Card) -> str:
    """Say which data stand behind the model."""
    data = card.data
    rows = [
        [f"`{s.name}`", f"{s.posts:,}", f"{s.accounts:,}", s.first, s.last, s.chosen or "not recorded"]
        for s in data.sources
    ]
    regimes = ", ".join(f"{name} {posts:,}" for name, posts in sorted(data.regimes.items())) or "none"
    missing = ", ".join(f"`{name}`" for name in data.missing_columns) or "none"
    return (
        "## Data\n\n"
        + markdown_table(["Source", "Posts", "Accounts", "From", "To", "How posts were chosen"], rows)
        + f"\n- Kind: {'simulated' if data.simulated else 'as imported'}\n"
        f"- Data hash: `{data.data_hash}`\n"
        f"- Trained through: {data.trained_through}\n"
        f"- Left out as immature: {data.immature:,} posts\n"
        f"- Columns without any value: {missing}\n"
        "- Followers seen after publication (`followers_backfilled`): "
        f"{percent(data.followers_backfilled)}\n"
        f"- Time of the outcome assumed (`assumed_known_at`): {percent(data.assumed_known_at)}\n"
        f"- Looked at more than a day off the horizon: {percent(data.off_horizon)}\n"
        f"- Regimes of the count: {regimes}\n"
    )


def training_part(card: Card) -> str:
    """Say how the model came about."""
    training, holdout = card.training, card.holdout
    parameters = ", ".join(f"`{name}` = {value}" for name, value in sorted(training.parameters.items()))
    unseen = f"- MAE of log on accounts held out of training: {training.unseen_accounts or 'not measured'}\n"
    return (
        "## Training\n\n"
        f"- Trained: {training.trained_at}, code {training.code}, seed {training.seed}\n"
        f"- Recipe: `{training.recipe}`, estimator {training.estimator}\n"
        f"- Tuned in {training.trials} trials on {training.folds} forward-chaining folds, with "
        f"{training.embargo_days:g} days between what is learned from and what is judged on\n"
        f"{'' if card.virality else unseen}"
        f"- Parameters: {parameters or 'none'}\n"
        f"- Holdout: posts published from {holdout.first} to {holdout.last}, used {_times(holdout.uses)} so "
        "far\n"
    )


def _ladder(card: Card) -> str:
    ladder = card.ladder
    return (
        "## Ladder\n\n"
        f"On {ladder.posts:,} holdout posts of {ladder.accounts:,} accounts; in brackets 95 % intervals from "
        f"{ladder.replicates:,} resamples of accounts. Accuracy: the share of posts put on the right side of "
        "the training window's median. Top-fifth precision: of the fifth predicted highest, the share that "
        "came out there.\n\n"
        f"{ladder.to_markdown()}\n"
        f"Gain of the model over the account anchor in MAE of log: {ladder.gain.words(percent=True)}.\n"
        f"{picture(card, 'ladder', 'The ladder, metric by metric')}"
        f"{picture(card, 'predicted_actual', 'Predicted against actual')}"
    )


def slices_part(card: Card, shown: tuple[str, ...] = _SLICE_METRICS) -> str:
    """Lay out gain and metrics by slice."""
    if not card.ladder.slices:
        return ""
    parts = ["## Slices\n"]
    for name, rows in groupby(card.ladder.slices, key=lambda row: row.slice):
        parts.append(f"### By {name.replace('_', ' ')}\n\n{_slice_table(card, list(rows), shown)}")
    return "\n".join(parts) + picture(card, "slices", "Gain over the account anchor by slice")


def _slice_table(card: Card, rows: list[SliceRow], metrics: tuple[str, ...]) -> str:
    # A rung without intervals has no coverage, and a column of "unknown" tells nothing.
    shown = [
        (rung, metric)
        for metric in metrics
        for rung in (ANCHOR, MODEL)
        if rung in card.ladder.rungs and isfinite(card.ladder.rungs[rung][metric].value)
    ]
    header = ["Level", "Posts", "Accounts", "Gain over anchor"]
    header += [f"{WORDS[metric][0]}, {rung}" for rung, metric in shown]
    cells = [
        [row.level, f"{row.posts:,}", f"{row.accounts:,}", row.gain.words(percent=True)]
        + [in_words(metric, row.rungs[rung][metric]) for rung, metric in shown]
        for row in rows
    ]
    return markdown_table(header, cells)


def _intervals(card: Card) -> str:
    model = card.ladder.rungs[MODEL]
    return (
        "## Intervals\n\n"
        f"{card.interval_method}\n\n"
        f"- Promised: {_promise(card)} of outcomes; held on the holdout: "
        f"{model['coverage'].words(percent=True)}\n"
        f"- Mean width on the log scale: {model['width']}\n"
        f"{picture(card, 'calibration', 'Coverage promised and observed')}"
    )


def _cold_start(card: Card) -> str:
    text = (
        "## Cold start\n\n"
        "An account's anchor is shrunk towards what accounts like it reach; an account without mature "
        "earlier posts gets that alone, and intervals of its own. "
    )
    for row in card.ladder.slices:
        if (row.slice, row.level) == NEW_ACCOUNTS:
            model = row.rungs[MODEL]
            return text + (
                f"On the {row.posts:,} holdout posts of {row.accounts:,} such accounts: MAE of log "
                f"{model['mae_log']}, Spearman {model['spearman']}, "
                f"coverage {model['coverage'].words(percent=True)}.\n"
            )
    return text + "The holdout has no such posts, so this has not been measured.\n"


def importance_part(card: Card) -> str:
    """Say on which features the model leans."""
    if not card.importance:
        return "## Importance\n\nThis version uses no feature: it is the account anchor itself.\n"
    groups = {feature.name: feature.group for feature in card.features}
    top = sorted(card.importance.items(), key=lambda item: (-item[1], item[0]))[:TOP_FEATURES]
    rows = [[f"`{name}`", groups.get(name, "other"), percent(share)] for name, share in top]
    return (
        f"## Importance\n\n{card.importance_method}\n\n"
        + markdown_table(["Feature", "Group", "Share"], rows)
        + picture(card, "importance", "The most important features")
    )


def gate_part(card: Card) -> str:
    """Say what the gate decided."""
    if card.decision is None:
        return ""
    words = {True: "passed", False: "**failed**", None: "undecided"}
    rows = [[check.name, words[check.passed], check.words] for check in card.checks]
    table = "\n" + markdown_table(["Check", "Result", "Found"], rows) if rows else ""
    return f"## Gate\n\n{card.decision}\n{table}"


def gaps_part(card: Card) -> str:
    """Admit what a reader should know before trusting the numbers."""
    return "## Gaps\n\n" + "".join(f"- {gap}\n" for gap in find_gaps(card))


def _loading(card: Card) -> str:
    return (
        "## How to use it\n\n"
        "```sh\n"
        "clipcast predict posts.csv --out forecasts.csv\n"
        f"mlflow models serve -m models:/{card.model}@production --env-manager local\n"
        "```\n\n"
        "Both take posts in the import format with the outcome columns empty or absent, and answer every "
        "output with its interval.\n"
    )


def features_part(card: Card) -> str:
    """List the features by group."""
    parts = ["## Features\n"]
    ordered = sorted(card.features, key=lambda feature: feature.group)
    for group, features in groupby(ordered, key=lambda feature: feature.group):
        parts.append(f"### {group.capitalize()}\n\n{_feature_table(list(features))}")
    return "\n".join(parts)


def _feature_table(features: list[FeatureFacts]) -> str:
    rows = [[f"`{feature.name}`", feature.meaning, percent(feature.missing)] for feature in features]
    return markdown_table(["Feature", "Meaning", "Missing"], rows)


def picture(card: Card, name: str, words: str) -> str:
    """Place a picture, where there is one."""
    return f"\n![{words}]({card.pictures[name]})\n" if name in card.pictures else ""


def percent(share: float) -> str:
    """Write a share in per cent."""
    return f"{100 * share:.1f} %"


def _promise(card: Card) -> str:
    return f"{100 * card.nominal_coverage:g} %"


def platform_name(card: Card) -> str:
    """Return the platform as people write it."""
    return PLATFORM_NAMES.get(card.platform, card.platform)


def _times(uses: int) -> str:
    return {1: "once", 2: "twice"}.get(uses, f"{uses} times")
