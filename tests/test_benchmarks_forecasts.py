import dataclasses
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("sklearn", reason="the peers' features need scikit-learn, of the extra `pipeline`")

import commands
import comparison
import forecasts
import peers
import processes
from features.errors import ImportFileError, SettingsError
from features.schema import OUTCOMES, Platform
from holdout import MATURITY, Forecast, Split, read, split_posts

DAYS = 400


def posts(seed: int = 7) -> pd.DataFrame:
    """A post a day by 25 accounts, each looked at after one day and after ten, shuffled."""
    rng = np.random.default_rng(seed)
    published = pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta(np.arange(DAYS), unit="D")
    size = rng.integers(0, 25, DAYS)
    first = pd.DataFrame(
        {
            "platform": "tiktok",
            "post_id": [f"p{number}" for number in range(DAYS)],
            "account_id": [f"a{number}" for number in size],
            "published_at": published,
            "observed_at": published + pd.Timedelta(days=1),
            "media_type": rng.choice(["video", "image"], DAYS),
            "caption": rng.choice(["boat #sea", "a red car!", "who is @me?"], DAYS),
            "duration_s": rng.uniform(5, 60, DAYS),
            "sound_id": None,
            "followers": 10.0 ** (2 + size // 5),
            **{name: rng.integers(1, 9, DAYS).astype(float) for name in OUTCOMES},
        }
    )
    later = first.assign(
        observed_at=published + pd.Timedelta(days=10), views=np.exp(size / 3 + rng.normal(5, 1, DAYS)).round()
    )
    return pd.concat([first, later]).sample(frac=1, random_state=seed)


@pytest.fixture
def split() -> Split:
    return split_posts(posts())


def guess(split: Split, prediction: float = 5.0, half: float = 1.0) -> Forecast:
    return Forecast.of(np.full(len(split.test), prediction), half)


def test_the_test_is_the_latest_fifth_and_training_ends_three_days_before(split: Split) -> None:
    assert split.test["post_id"].tolist() == [f"p{number}" for number in range(320, DAYS)]
    # The quantile lies between the posts of days 319 and 320, and three days before it end with day 316.
    assert split.train["post_id"].tolist() == [f"p{number}" for number in range(317)]
    assert split.test["published_at"].min() - split.train["published_at"].max() > MATURITY
    assert not set(split.train["post_id"]) & set(split.test["post_id"])


def test_a_post_counts_by_its_last_look_and_only_when_mature(split: Split) -> None:
    last = posts().query("observed_at - published_at > @MATURITY").set_index("post_id")["views"]
    assert split.train["views"].tolist() == last[split.train["post_id"]].tolist()
    assert split.truth.tolist() == last[split.test["post_id"]].tolist()
    young = posts().query("post_id != 'p5' or observed_at - published_at < @MATURITY")
    assert "p5" not in split_posts(young).train["post_id"].tolist()


def test_what_is_to_be_forecast_carries_no_outcome(split: Split, tmp_path: Path) -> None:
    train, test = (read(path) for path in split.write(tmp_path))
    assert test[list(OUTCOMES)].isna().all(axis=None)
    assert (test["observed_at"] == test["published_at"]).all()
    assert train["views"].tolist() == split.train["views"].tolist()
    assert test["post_id"].tolist() == split.test["post_id"].tolist()


def test_posts_of_two_platforms_are_refused() -> None:
    both = pd.concat([posts(), posts().assign(platform=Platform.YOUTUBE)])
    with pytest.raises(ImportFileError, match="file of its own"):
        split_posts(both)


def test_no_feature_of_a_peer_changes_when_the_test_comes_out_otherwise(split: Split) -> None:
    changed = posts()
    in_test = changed["post_id"].isin(split.test["post_id"])
    changed.loc[in_test, list(OUTCOMES)] *= 1000
    other = split_posts(changed)
    assert not np.array_equal(other.truth, split.truth)
    for before, after in zip(peers.plain_features(split), peers.plain_features(other), strict=True):
        pd.testing.assert_frame_equal(before, after)
    assert other.digest == split.digest


def test_the_history_of_a_test_post_is_that_of_its_account_at_the_end_of_training(split: Split) -> None:
    train, test = peers.plain_features(split)
    assert (len(train), len(test)) == (len(split.train), len(split.test))
    own = pd.Series(split.train_log).groupby(split.train["account_id"])
    account = split.test["account_id"][split.known]
    assert test["earlier"].to_numpy()[split.known].tolist() == own.count()[account].tolist()
    assert test["mean"].to_numpy()[split.known] == pytest.approx(own.mean()[account].to_numpy())
    assert train["earlier"].iloc[0] == 0


def test_captions_without_a_common_word_give_no_directions(split: Split) -> None:
    mute = dataclasses.replace(split, train=split.train.assign(caption=None), test=split.test.assign(caption=None))
    assert not peers.plain_features(mute)[0].columns.str.startswith("caption_").any()


def test_an_account_median_is_of_its_last_five_and_the_anchor_lies_between_line_and_mean(split: Split) -> None:
    task = peers.Task(split, *peers.plain_features(split), budget_s=1)
    account = split.test["account_id"].iloc[0]
    own = split.train_log[(split.train["account_id"] == account).to_numpy()]
    assert peers.account_median(task).prediction[0] == pytest.approx(np.median(own[-5:]))
    error = {
        peer: np.abs(peer(task).prediction - split.truth_log).mean() for peer in (peers.constant, peers.shrunken_anchor)
    }
    assert error[peers.shrunken_anchor] < error[peers.constant]


def test_an_account_without_a_post_to_learn_from_is_forecast_by_the_rest(split: Split) -> None:
    stranger = dataclasses.replace(split, test=split.test.assign(account_id="stranger"))
    task = peers.Task(stranger, *peers.plain_features(stranger), budget_s=1)
    assert not stranger.known.any()
    assert (peers.account_median(task).prediction == np.median(split.train_log)).all()
    assert np.isfinite(peers.shrunken_anchor(task).prediction).all()


def test_catboost_gives_forecasts_and_an_interval_around_them(split: Split) -> None:
    pytest.importorskip("catboost", reason="CatBoost comes with the extra `bench`")
    task = peers.Task(split, *peers.plain_features(split), budget_s=1)
    found = peers.catboost_conformal(task)
    assert (found.lower < found.prediction).all()
    assert (found.prediction < found.upper).all()
    assert np.isnan(peers.catboost_defaults(task).lower).all()


def test_flaml_gives_forecasts(split: Split) -> None:
    pytest.importorskip("flaml", reason="FLAML comes with the extra `bench`")
    task = peers.Task(split, *peers.plain_features(split), budget_s=1)
    assert np.isfinite(peers.flaml_search(task).prediction).all()


def test_a_missing_peer_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "catboost", None)
    with pytest.raises(peers.MissingPeerError, match=r"\.\[bench\]"):
        peers.require("catboost")


def test_forecasts_are_made_once_for_a_split(split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def peer(task: peers.Task) -> Forecast:
        made.append(task.budget_s)
        return guess(task.split)

    monkeypatch.setattr(peers, "PEERS", {"one": (peer, "one.json"), "two": (peer, "two-{budget_s}.json")})
    first = peers.forecasts(split, tmp_path, 10)
    again = peers.forecasts(split, tmp_path, 10)
    assert made == [10, 10]
    assert again["one"].prediction.tolist() == first["one"].prediction.tolist()
    peers.forecasts(split, tmp_path, 20)
    assert made == [10, 10, 20]
    peers.forecasts(split_posts(posts(seed=8)), tmp_path, 20)
    assert made == [10, 10, 20, 20, 20]


def test_a_forecast_that_errs_half_as_much_is_fifty_per_cent_better(split: Split) -> None:
    near, far = (Forecast.of(split.truth_log + error, half=2.0) for error in (0.5, 1.0))
    found = comparison.compare(split, {peers.MEDIAN: far, peers.CONFORMAL: far, comparison.OURS: near})
    assert found.against[peers.MEDIAN].value == pytest.approx(-0.5)
    assert list(found.against) == [peers.MEDIAN]
    whole = found.parts[0]
    assert whole.bands[comparison.OURS].coverage == 1
    assert whole.bands[peers.CONFORMAL].width == pytest.approx(4, abs=0.1)


def test_either_side_can_be_judged_alone(split: Split) -> None:
    for name in (peers.CONSTANT, comparison.OURS):
        found = comparison.compare(split, {name: guess(split)})
        assert list(found.ladder.rungs) == [name]
        assert found.against == {}


def test_only_slices_of_enough_posts_and_accounts_are_judged(split: Split) -> None:
    big = dataclasses.replace(
        split, test=pd.concat([split.test] * 4, ignore_index=True), truth=np.concatenate([split.truth] * 4)
    )
    found = comparison.compare(big, {peers.CONSTANT: guess(big), comparison.OURS: guess(big)})
    judged = {(part.slice, part.level) for part in found.parts}
    assert ("account", "known") in judged
    assert all(part.posts >= 100 and part.accounts >= 20 for part in found.parts)
    assert not any(part.slice == "followers" for part in found.parts)  # five accounts in each tier


def test_the_tables_and_the_json_hold_every_forecast(split: Split) -> None:
    both = {peers.CONSTANT: guess(split), comparison.OURS: guess(split, 6.0)}
    found: forecasts.Found = {"mine": (comparison.compare(split, both), [commands.Cost("predict", 1.0, 20.0)])}
    shown = "".join(forecasts.tables(found))
    assert "| mine | constant |" in shown
    assert "| mine | clipcast predict | 1.0 | 20 |" in shown
    assert set(forecasts.plain(found)["mine"]["forecasts"]) == set(both)


def test_two_files_of_one_name_are_refused() -> None:
    assert list(forecasts.named([Path("a/x.csv.gz"), Path("y.csv")])) == ["x", "y"]
    with pytest.raises(SettingsError, match="rename one"):
        forecasts.named([Path("a/x.csv.gz"), Path("b/x.csv")])


def test_clipcast_runs_in_a_workspace_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIPCAST_GATE__MIN_GAIN", "9")
    environment = processes.workspace(tmp_path, trials=3)
    own = {name: value for name, value in environment.items() if name.startswith("CLIPCAST_")}
    assert own == {
        "CLIPCAST_HOME": str(tmp_path / ".clipcast"),
        "CLIPCAST_DATA": str(tmp_path / "data"),
        "CLIPCAST_TRAINING__TRIALS": "3",
    }
    cost = commands.measured("config", ["--json"], tmp_path, environment)
    assert cost.seconds > 0
    assert cost.peak_mib > 1
    assert str(tmp_path / "data") in (tmp_path / "config.log").read_text()


def test_a_command_that_fails_shows_what_it_said(tmp_path: Path) -> None:
    with pytest.raises(processes.CommandError, match=r"(?s)run weekly ended with 1.*there are no posts"):
        commands.measured("run weekly", [], tmp_path, processes.workspace(tmp_path, trials=None))


def test_a_post_without_a_forecast_is_told(split: Split, tmp_path: Path) -> None:
    file = tmp_path / "p.csv"
    rows = split.test[["post_id"]].assign(prediction=10.0, lower=1.0, upper=100.0)
    rows.to_csv(file, index=False)
    assert commands.read_forecasts(file, split, 1.0).prediction == pytest.approx(np.log1p(10))
    rows[1:].to_csv(file, index=False)
    with pytest.raises(processes.CommandError, match=f"no forecast for 1 of {len(rows)} posts"):
        commands.read_forecasts(file, split, 1.0)
