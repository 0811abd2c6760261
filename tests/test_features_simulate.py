"""The simulated world: repeatable, in the import format, and with the truths that it promises."""

import hashlib
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from features.errors import SettingsError
from features.schema import IMPORT, PRIMARY, Platform, import_schema
from features.simulate import SOURCE, Simulated, World, simulate, simulate_truth
from features.simulate_parameters import FIGURES
from features.simulate_posting import Calendar, posts_in_week_before
from features.simulate_reach import grown

SMALL = World(accounts=12, weeks=6)
AGE_DAYS = (pl.col("observed_at") - pl.col("published_at")).dt.total_seconds() / 86_400


@pytest.fixture(scope="module")
def world() -> Simulated:
    return simulate(World())


def csv_of(frame: pl.DataFrame) -> str:
    return frame.write_csv()


def outcomes(world: Simulated, platform: Platform) -> pl.DataFrame:
    """One row per post: its last look at an age of three days or more, with the log of the primary count."""
    return (
        world.posts.filter(pl.col("platform") == str(platform), AGE_DAYS >= 3)
        .sort("observed_at")
        .unique("post_id", keep="last", maintain_order=True)
        .sort("published_at", "post_id")
        .with_columns(log=pl.col(PRIMARY[platform]).log1p())
    )


def inside(posts: pl.DataFrame, labels: pl.DataFrame, kind: str) -> pl.DataFrame:
    """Posts of the accounts that have an episode of a kind, and whether each lies in one."""
    own = labels.filter(pl.col("kind") == kind)
    pairs = posts.join(own, on=("platform", "account_id"))
    within = (pl.col("published_at") >= pl.col("start")) & (pl.col("published_at") < pl.col("end"))
    return pairs.group_by("post_id", "account_id", "log").agg(within.any().alias("within"))


def shift_inside(posts: pl.DataFrame, labels: pl.DataFrame, kind: str) -> float:
    """Mean over the accounts of the difference of log outcome within episodes and outside."""
    marked = inside(posts, labels, kind)
    within = pl.col("within")
    means = marked.group_by("account_id").agg(
        (pl.col("log").filter(within).mean() - pl.col("log").filter(~within).mean()).alias("shift")
    )
    return float(means["shift"].drop_nulls().mean())  # type: ignore[arg-type]


def share_explained_by_account(posts: pl.DataFrame) -> float:
    """R² of the shrunken mean of each account's outcomes that were at least three days old."""
    earlier: dict[str, list[tuple[datetime, float]]] = {}
    truth: list[float] = []
    forecast: list[float] = []
    for account, published_at, log in posts.select("account_id", "published_at", "log").iter_rows():
        mature = [value for at, value in earlier.get(account, []) if at <= published_at - timedelta(days=3)]
        everybody = float(np.mean(truth)) if truth else log
        forecast.append((sum(mature) + everybody) / (len(mature) + 1))
        truth.append(log)
        earlier.setdefault(account, []).append((published_at, log))
    actual, errors = np.array(truth), np.array(truth) - np.array(forecast)
    settled = len(actual) // 5
    return float(1 - np.mean(errors[settled:] ** 2) / np.var(actual[settled:]))


def test_the_same_world_gives_the_same_bytes() -> None:
    first, second = simulate(SMALL), simulate(SMALL)
    assert csv_of(first.posts) == csv_of(second.posts)
    assert csv_of(first.labels) == csv_of(second.labels)


def test_the_bytes_are_those_of_the_pinned_sample() -> None:
    """When the simulation is changed on purpose, pin this anew together with the repository's sample."""
    digest = hashlib.sha256(csv_of(simulate(SMALL).posts).encode()).hexdigest()
    assert digest == "9f6e90b96270bb3d4edb016e78bda09c50a6ed221a41253dbfeb65fdc5532067"


def test_another_seed_gives_another_world() -> None:
    other = simulate(World(seed=8, accounts=12, weeks=6))
    assert csv_of(simulate(SMALL).posts) != csv_of(other.posts)


def test_adding_a_platform_does_not_change_another() -> None:
    alone = simulate(World(platforms=(Platform.YOUTUBE,), accounts=12, weeks=6))
    together = simulate(SMALL)
    mine = pl.col("platform") == "youtube"
    assert csv_of(alone.posts) == csv_of(together.posts.filter(mine))
    assert csv_of(alone.labels) == csv_of(together.labels.filter(mine))


def test_rows_are_in_the_import_format(world: Simulated) -> None:
    assert world.posts.schema == pl.Schema(IMPORT)
    import_schema().validate(world.posts)
    assert not world.posts.select("post_id", "observed_at").is_duplicated().any()


def test_everything_says_that_it_is_simulated(world: Simulated) -> None:
    assert SOURCE == "simulated"
    for name in ("post_id", "account_id", "sound_id"):
        assert world.posts[name].drop_nulls().str.starts_with("sim-").all()


def test_a_post_is_described_alike_in_every_look(world: Simulated) -> None:
    described = world.posts.select("post_id", "published_at", "media_type", "caption", "duration_s", "sound_id")
    assert described.unique().height == world.posts["post_id"].n_unique()


def test_each_platform_has_some_thousand_posts_and_several_looks_at_each(world: Simulated) -> None:
    for platform in Platform:
        rows = world.posts.filter(pl.col("platform") == str(platform))
        assert 3_500 <= rows["post_id"].n_unique() <= 5_500
        assert 3.3 <= rows.height / rows["post_id"].n_unique() <= 4


def test_nothing_is_seen_after_the_end_nor_before_publication(world: Simulated) -> None:
    assert world.posts["observed_at"].max() <= World().end  # type: ignore[operator]
    assert (world.posts["published_at"] < world.posts["observed_at"]).all()
    assert (world.posts["published_at"] >= World().end - timedelta(weeks=World().weeks)).all()


def test_posts_are_looked_at_young_and_mature(world: Simulated) -> None:
    ages = world.posts.select(AGE_DAYS.alias("age"))["age"]
    for low, high in ((0.9, 1.3), (3.0, 4.0), (7.0, 7.6), (14.0, 14.8)):
        assert ages.is_between(low, high).mean() > 0.2  # type: ignore[operator]


def test_counts_never_fall_with_age(world: Simulated) -> None:
    ordered = world.posts.sort("post_id", "observed_at")
    for name in ("views", "likes", "comments", "shares", "saves"):
        steps = ordered.drop_nulls(name).select(pl.col(name).diff().over("post_id")).to_series().drop_nulls()
        assert (steps >= 0).all(), name


def test_each_platform_hides_the_counts_that_it_does_not_give(world: Simulated) -> None:
    hidden = {
        Platform.TIKTOK: set(),
        Platform.INSTAGRAM: {"views", "shares", "saves"},
        Platform.YOUTUBE: {"shares", "saves"},
    }
    for platform, names in hidden.items():
        rows = world.posts.filter(pl.col("platform") == str(platform))
        unknown = {name for name in ("views", "likes", "comments", "shares", "saves") if rows[name].is_null().all()}
        assert unknown == names


def test_a_share_of_optional_values_is_unknown_but_never_the_primary(world: Simulated) -> None:
    for name in ("caption", "media_type", "duration_s", "followers", "comments", "language", "country"):
        assert 0 < world.posts[name].null_count() < world.posts.height, name
    assert not world.posts.filter(pl.col("views").is_null() & (pl.col("platform") != "instagram")).height
    assert not world.posts["likes"].null_count()


def test_nobody_likes_what_they_have_not_seen(world: Simulated) -> None:
    assert world.posts.filter(pl.col("likes") > pl.col("views")).is_empty()


def test_captions_survive_a_csv_file(world: Simulated) -> None:
    captions = world.posts.select("post_id", "caption").unique(maintain_order=True)
    for awkward in (",", '"', "\n", "?", "#", "@", "🔥", "ã", "秘密"):
        assert captions["caption"].str.contains(awkward, literal=True).any(), awkward
    back = pl.read_csv(csv_of(captions).encode())
    assert back.equals(captions)


def test_durations_are_tenths_of_a_second(world: Simulated) -> None:
    lengths = world.posts["duration_s"].drop_nulls()
    assert (lengths == lengths.round(1)).all()
    assert (lengths > 0).all()


@pytest.mark.parametrize("platform", list(Platform))
def test_suppressed_periods_lower_reach(world: Simulated, platform: Platform) -> None:
    assert shift_inside(outcomes(world, platform), world.labels, "suppressed") < -0.8


@pytest.mark.parametrize("platform", list(Platform))
def test_bursts_raise_reach(world: Simulated, platform: Platform) -> None:
    assert shift_inside(outcomes(world, platform), world.labels, "burst") > 1.0


def test_every_platform_has_labelled_episodes_within_the_world(world: Simulated) -> None:
    counted = world.labels.group_by("platform", "kind").len()
    assert counted.height == 6
    assert counted["len"].min() >= 10  # type: ignore[operator]
    assert (world.labels["start"] < world.labels["end"]).all()
    assert world.labels["end"].max() <= World().end  # type: ignore[operator]


@pytest.mark.parametrize("platform", list(Platform))
def test_an_account_explains_about_half_of_reach_and_everything_knowable_not_much_more(
    world: Simulated, platform: Platform
) -> None:
    assert 0.45 < share_explained_by_account(outcomes(world, platform)) < 0.68
    effects = simulate_truth(World(), platform).effects
    unknowable = effects["chance"] + effects["burst"]
    assert 0.60 < 1 - np.var(unknowable) / np.var(sum(effects.values())) < 0.78


@pytest.mark.parametrize("platform", list(Platform))
def test_content_and_timing_explain_a_few_hundredths_of_reach(platform: Platform) -> None:
    effects = simulate_truth(World(), platform).effects
    content = sum(effects[name] for name in ("caption", "momentum", "media", "duration", "timing", "tempo"))
    assert 0.01 < np.var(content) / np.var(sum(effects.values())) < 0.08
    assert all(effects[name].std() > 0 for name in ("caption", "momentum", "duration", "timing", "tempo"))


def test_reach_is_very_unequal(world: Simulated) -> None:
    views = outcomes(world, Platform.TIKTOK)["views"].sort(descending=True)
    assert float(views.head(views.len() // 20).sum()) > 0.5 * float(views.sum())
    assert views.max() > 200 * views.median()  # type: ignore[operator]


@pytest.mark.parametrize("platform", list(Platform))
def test_some_late_posts_are_of_accounts_without_history(world: Simulated, platform: Platform) -> None:
    accounts = outcomes(world, platform)["account_id"].to_list()
    cut = len(accounts) * 4 // 5
    unseen = sum(account not in set(accounts[:cut]) for account in accounts[cut:])
    assert unseen / (len(accounts) - cut) > 0.04


def test_accounts_grow(world: Simulated) -> None:
    ends = (
        world.posts.sort("observed_at")
        .group_by("account_id")
        .agg((pl.col("followers").drop_nulls().last() / pl.col("followers").drop_nulls().first()).alias("growth"))
    )
    assert 1.0 < ends["growth"].median() < 1.3  # type: ignore[operator]


def test_trending_sounds_rise_and_fade(world: Simulated) -> None:
    used = world.posts.unique("post_id").filter(pl.col("sound_id").str.contains("trend"))
    spans = used.group_by("sound_id").agg(
        pl.len(), (pl.col("published_at").max() - pl.col("published_at").min()).dt.total_days().alias("days")
    )
    often = spans.filter(pl.col("len") >= 10)
    assert often.height >= 20
    assert often["days"].median() < 45  # type: ignore[operator]


def test_posts_are_counted_by_the_account_in_the_week_before() -> None:
    rng = np.random.default_rng(1)
    account = rng.integers(3, size=200)
    published_s = np.sort(rng.integers(40 * 86_400, size=200)) + 1_700_000_000
    calendar = Calendar(account, published_s, np.zeros(200), np.zeros(200, np.int64))
    expected = [
        sum(
            account[other] == account[post] and 0 <= published_s[post] - published_s[other] <= 7 * 86_400
            for other in range(post)
        )
        for post in range(200)
    ]
    assert posts_in_week_before(calendar).tolist() == expected


def test_growth_follows_the_published_shares_by_age() -> None:
    tiktok, youtube = FIGURES[Platform.TIKTOK], FIGURES[Platform.YOUTUBE]
    views = grown(np.array([1.0, 2.0, 7.0]), np.array([tiktok.half_life_days]), tiktok.growth_shape)
    assert views == pytest.approx([0.32, 0.38, 0.55], abs=0.02)
    first_week = grown(np.array([1.0, 7.0]), np.array([youtube.half_life_days]), youtube.growth_shape)
    assert first_week[0] / first_week[1] == pytest.approx(0.64, abs=0.02)


def test_a_tiny_world_may_hold_no_posts() -> None:
    tiny = simulate(World(seed=0, accounts=1, weeks=2, posts_per_week=1e-9))
    assert tiny.posts.is_empty()
    assert tiny.posts.schema == pl.Schema(IMPORT)
    assert tiny.labels.is_empty()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"end": datetime(2026, 6, 28)}, "no time zone"),  # noqa: DTZ001  the missing zone is what is tested
        ({"accounts": 0}, "accounts"),
        ({"weeks": 1}, "2 weeks"),
        ({"seed": -1}, "seed of at least 0"),
        ({"posts_per_week": 0.0}, "posts per week"),
        ({"platforms": ()}, "name each once"),
        ({"platforms": (Platform.TIKTOK, Platform.TIKTOK)}, "name each once"),
    ],
)
def test_a_world_that_cannot_be_is_refused(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        World(**wrong)  # type: ignore[arg-type]


def test_the_end_moves_the_world_and_nothing_else() -> None:
    later = simulate(World(accounts=12, weeks=6, end=datetime(2026, 7, 5, tzinfo=UTC))).posts
    earlier = simulate(SMALL).posts
    assert later.drop("published_at", "observed_at").equals(earlier.drop("published_at", "observed_at"))
