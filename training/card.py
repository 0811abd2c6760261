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
from training.ladder import ANCHOR, METRICS, MODEL, SliceRow, markdown_table
from training.plots import TOP_FEATURES

__all__ = ["Card", "render_card"]

_SLICE_METRICS = ("mae_log", "r2", "coverage")


def render_card(card: Card) -> str:
    """Write the card as markdown; the same facts give the same text."""
    sections = (
        _title(card),
        _use(card),
        _target(card),
        _data(card),
        _training(card),
        _ladder(card),
        _slices(card),
        _intervals(card),
        _cold_start(card),
        _importance(card),
        _gate(card),
        _gaps(card),
        _loading(card),
        _features(card),
    )
    return "\n".join(section for section in sections if section)


def _title(card: Card) -> str:
    simulated = "> **Simulated data.** Every number on this card was made from simulated posts.\n\n"
    return (
        f"# {card.model} {card.version}\n\n"
        f"{simulated if card.data.simulated else ''}"
        f"Forecasts the {card.outcome} that a short video on {_platform(card)} will reach, before it is "
        f"posted, with an interval meant to hold {_promise(card)} of outcomes. For creators, "
        "marketers and the tools they plan with.\n"
    )


def _use(card: Card) -> str:
    return (
        "## Intended use\n\n"
        f"- Compare drafts, plan posts and set expectations for accounts on {_platform(card)}, the interval "
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


def _data(card: Card) -> str:
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
        f"{_percent(data.followers_backfilled)}\n"
        f"- Time of the outcome assumed (`assumed_known_at`): {_percent(data.assumed_known_at)}\n"
        f"- Looked at more than a day off the horizon: {_percent(data.off_horizon)}\n"
        f"- Regimes of the count: {regimes}\n"
    )


def _training(card: Card) -> str:
    training, holdout = card.training, card.holdout
    parameters = ", ".join(f"`{name}` = {value}" for name, value in sorted(training.parameters.items()))
    unseen = training.unseen_accounts or "not measured"
    return (
        "## Training\n\n"
        f"- Trained: {training.trained_at}, code {training.code}, seed {training.seed}\n"
        f"- Recipe: `{training.recipe}`, estimator {training.estimator}\n"
        f"- Tuned in {training.trials} trials on {training.folds} forward-chaining folds, with "
        f"{training.embargo_days:g} days between what is learned from and what is judged on\n"
        f"- MAE of log on accounts held out of training: {unseen}\n"
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
        f"{_picture(card, 'ladder', 'The ladder, metric by metric')}"
        f"{_picture(card, 'predicted_actual', 'Predicted against actual')}"
    )


def _slices(card: Card) -> str:
    if not card.ladder.slices:
        return ""
    parts = ["## Slices\n"]
    for name, rows in groupby(card.ladder.slices, key=lambda row: row.slice):
        parts.append(f"### By {name.replace('_', ' ')}\n\n{_slice_table(card, list(rows))}")
    return "\n".join(parts) + _picture(card, "slices", "Gain over the account anchor by slice")


def _slice_table(card: Card, rows: list[SliceRow]) -> str:
    # A rung without intervals has no coverage, and a column of "unknown" tells nothing.
    shown = [
        (rung, metric)
        for metric in _SLICE_METRICS
        for rung in (ANCHOR, MODEL)
        if rung in card.ladder.rungs and isfinite(card.ladder.rungs[rung][metric].value)
    ]
    header = ["Level", "Posts", "Accounts", "Gain over anchor"]
    header += [f"{METRICS[metric][0]}, {rung}" for rung, metric in shown]
    cells = [
        [row.level, f"{row.posts:,}", f"{row.accounts:,}", row.gain.words(percent=True)]
        + [row.rungs[rung][metric].words(METRICS[metric][1]) for rung, metric in shown]
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
        f"{_picture(card, 'calibration', 'Coverage promised and observed')}"
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


def _importance(card: Card) -> str:
    if not card.importance:
        return "## Importance\n\nThis version uses no feature: it is the account anchor itself.\n"
    groups = {feature.name: feature.group for feature in card.features}
    top = sorted(card.importance.items(), key=lambda item: (-item[1], item[0]))[:TOP_FEATURES]
    rows = [[f"`{name}`", groups.get(name, "other"), _percent(share)] for name, share in top]
    return (
        f"## Importance\n\n{card.importance_method}\n\n"
        + markdown_table(["Feature", "Group", "Share"], rows)
        + _picture(card, "importance", "The most important features")
    )


def _gate(card: Card) -> str:
    if card.decision is None:
        return ""
    words = {True: "passed", False: "**failed**", None: "undecided"}
    rows = [[check.name, words[check.passed], check.words] for check in card.checks]
    table = "\n" + markdown_table(["Check", "Result", "Found"], rows) if rows else ""
    return f"## Gate\n\n{card.decision}\n{table}"


def _gaps(card: Card) -> str:
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


def _features(card: Card) -> str:
    parts = ["## Features\n"]
    ordered = sorted(card.features, key=lambda feature: feature.group)
    for group, features in groupby(ordered, key=lambda feature: feature.group):
        parts.append(f"### {group.capitalize()}\n\n{_feature_table(list(features))}")
    return "\n".join(parts)


def _feature_table(features: list[FeatureFacts]) -> str:
    rows = [[f"`{feature.name}`", feature.meaning, _percent(feature.missing)] for feature in features]
    return markdown_table(["Feature", "Meaning", "Missing"], rows)


def _picture(card: Card, name: str, words: str) -> str:
    return f"\n![{words}]({card.pictures[name]})\n" if name in card.pictures else ""


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _promise(card: Card) -> str:
    return f"{100 * card.nominal_coverage:g} %"


def _platform(card: Card) -> str:
    return PLATFORM_NAMES.get(card.platform, card.platform)


def _times(uses: int) -> str:
    return {1: "once", 2: "twice"}.get(uses, f"{uses} times")
