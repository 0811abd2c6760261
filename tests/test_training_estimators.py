"""One contract for every estimator, whatever it learns."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import optuna
import pytest

from features.errors import BundleError, TrainingError
from training.estimators import ESTIMATORS, estimator, load_regressor, save_regressor
from training.regressor import Estimator, Regressor, Table

ROWS = 400
NAMES = ("amount", "kind", "noise", "constant", "unknown")
EVERY = np.arange(ROWS)


@pytest.fixture(params=sorted(ESTIMATORS))
def maker(request: pytest.FixtureRequest) -> Estimator:
    return estimator(request.param)


@pytest.fixture
def table() -> Table:
    draw = np.random.default_rng(7)
    matrix = draw.normal(size=(ROWS, len(NAMES)))
    matrix[:, 1] = draw.integers(0, 4, ROWS)
    matrix[draw.random((ROWS, len(NAMES))) < 0.1] = np.nan
    matrix[:, 3] = 2.0
    matrix[:, 4] = np.nan
    return Table(matrix, NAMES, frozenset({"kind"}))


@pytest.fixture
def target(table: Table) -> np.ndarray:
    known = np.nan_to_num(table.matrix)
    return known[:, 0] + 2.0 * (known[:, 1] == 2) + 0.5


def fitted(maker: Estimator, table: Table, target: np.ndarray, rows: np.ndarray = EVERY, rounds: int = 40) -> Regressor:
    parameters = {name: rounds if name == "rounds" else value for name, value in maker.defaults.items()}
    return maker.fit(table, target, rows, parameters=parameters, seed=7)


def saved(regressor: Regressor, folder: Path) -> bytes:
    folder.mkdir(exist_ok=True)
    save_regressor(regressor, folder, "model")
    (file,) = folder.iterdir()
    return file.read_bytes()


def copied(table: Table) -> Table:
    return Table(table.matrix.copy(), table.names, table.categorical)


def test_a_loaded_regressor_predicts_to_the_bit_what_the_saved_one_did(
    maker: Estimator, table: Table, target: np.ndarray, tmp_path: Path
) -> None:
    regressor = fitted(maker, table, target)
    saved(regressor, tmp_path)
    loaded = load_regressor(tmp_path, "model")
    assert type(loaded) is type(regressor)
    assert np.array_equal(loaded.predict(table.matrix), regressor.predict(table.matrix))
    assert np.array_equal(loaded.importance(), regressor.importance())


def test_equal_rows_give_equal_bytes_of_text(
    maker: Estimator, table: Table, target: np.ndarray, tmp_path: Path
) -> None:
    first = saved(fitted(maker, table, target), tmp_path / "first")
    again = saved(fitted(maker, copied(table), target), tmp_path / "again")
    assert first == again
    assert first.decode("utf-8").isprintable() or "\n" in first.decode("utf-8")


def test_a_table_forgets_what_was_learned_from_it_before(
    maker: Estimator, table: Table, target: np.ndarray, tmp_path: Path
) -> None:
    alone = saved(fitted(maker, table, target), tmp_path / "alone")
    fitted(maker, table, -target, EVERY[::3])
    assert saved(fitted(maker, table, target), tmp_path / "after") == alone


def test_weights_count_and_are_forgotten_by_the_next_fit(
    maker: Estimator, table: Table, target: np.ndarray, tmp_path: Path
) -> None:
    alone = saved(fitted(maker, table, target), tmp_path / "alone")
    weight = np.where(EVERY % 2, 3.0, 0.5)
    heavy = maker.fit(table, target, EVERY, parameters=maker.defaults, seed=7, weight=weight)
    assert saved(fitted(maker, table, target), tmp_path / "after") == alone
    if maker.defaults:
        plain = maker.fit(table, target, EVERY, parameters=maker.defaults, seed=7)
        assert (heavy.predict(table.matrix) != plain.predict(table.matrix)).any()


def test_parts_of_one_table_can_be_learned_in_turn(maker: Estimator) -> None:
    """Bins shared by parts of a table once made LightGBM write beyond its memory."""
    draw = np.random.default_rng(7)
    matrix = draw.normal(size=(3_000, 40)) * (draw.random((3_000, 40)) < 0.3)
    wide = Table(matrix, tuple(f"c{number}" for number in range(40)), frozenset())
    target = wide.matrix[:, 0] + draw.normal(size=3_000)
    parts = [np.arange(200), np.arange(1_000, 3_000, 5), np.arange(2_500)]
    together = [maker.fit(wide, target, rows, parameters=maker.defaults, seed=7) for rows in parts]
    for rows, regressor in zip(parts, together, strict=True):
        alone = Table(wide.matrix[rows], wide.names, frozenset())
        expected = maker.fit(alone, target[rows], np.arange(len(rows)), parameters=maker.defaults, seed=7)
        np.testing.assert_array_equal(regressor.predict(wide.matrix), expected.predict(wide.matrix))


def test_any_parameter_may_change_from_fit_to_fit_on_one_table(
    maker: Estimator, table: Table, target: np.ndarray, tmp_path: Path
) -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=7))
    for number in range(12):
        parameters = {name: 20 if name == "rounds" else value for name, value in maker.suggest(study.ask()).items()}
        shared, alone = (
            maker.fit(each, target, EVERY, parameters=parameters, seed=7) for each in (table, copied(table))
        )
        folder = tmp_path / str(number)
        folder.mkdir()
        assert saved(shared, folder / "shared") == saved(alone, folder / "alone")


def test_only_the_given_rows_are_learned_from(
    maker: Estimator, table: Table, target: np.ndarray, tmp_path: Path
) -> None:
    odd = EVERY[1::2]
    unknown = target.copy()
    unknown[::2] = np.nan
    whole = saved(fitted(maker, table, target, odd), tmp_path / "whole")
    assert saved(fitted(maker, table, unknown, odd), tmp_path / "unknown") == whole


def test_one_row_is_predicted_as_in_a_batch(maker: Estimator, table: Table, target: np.ndarray) -> None:
    regressor = fitted(maker, table, target)
    batch = regressor.predict(table.matrix)
    one_by_one = [regressor.predict(table.matrix[row : row + 1])[0] for row in range(20)]
    np.testing.assert_array_equal(one_by_one, batch[:20])
    np.testing.assert_array_equal(regressor.predict(table.matrix[:7]), batch[:7])


def test_what_is_unknown_or_never_seen_still_gets_a_finite_answer(
    maker: Estimator, table: Table, target: np.ndarray
) -> None:
    regressor = fitted(maker, table, target)
    odd = np.array([[np.nan] * len(NAMES), [1e12, 99.0, -1e12, 5.0, 5.0]])
    assert np.isfinite(regressor.predict(odd)).all()
    assert regressor.predict(np.empty((0, len(NAMES)))).shape == (0,)


def test_importance_is_a_share_of_each_column(maker: Estimator, table: Table, target: np.ndarray) -> None:
    shares = fitted(maker, table, target).importance()
    assert shares.shape == (len(NAMES),)
    assert (shares >= 0).all()
    assert shares.sum() == pytest.approx(0.0 if maker.name == "anchor" else 1.0)
    assert shares[4] == 0.0


def test_a_constant_target_is_predicted_as_it_is(maker: Estimator, table: Table) -> None:
    regressor = fitted(maker, table, np.zeros(ROWS))
    np.testing.assert_allclose(regressor.predict(table.matrix), 0.0, atol=1e-6)
    assert np.isfinite(regressor.importance()).all()


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_a_handful_of_rows_is_learned_from_without_complaint(
    maker: Estimator, table: Table, target: np.ndarray, rows: int
) -> None:
    small = Table(table.matrix[: rows + 1], table.names, table.categorical)
    assert np.isfinite(fitted(maker, small, target, np.arange(rows)).predict(table.matrix)).all()


@pytest.mark.parametrize("name", sorted(set(ESTIMATORS) - {"anchor"}))
def test_what_can_be_learned_is_learned(name: str, table: Table, target: np.ndarray) -> None:
    predicted = fitted(estimator(name), table, target, EVERY[:300], rounds=150).predict(table.matrix[300:])
    error, spread = np.abs(target[300:] - predicted).mean(), np.abs(target[300:] - target.mean()).mean()
    assert error < 0.5 * spread


def test_the_anchor_learns_nothing(table: Table, target: np.ndarray) -> None:
    assert not fitted(estimator("anchor"), table, target).predict(table.matrix).any()


def test_the_defaults_are_a_point_of_the_search_space(maker: Estimator) -> None:
    assert maker.suggest(optuna.trial.FixedTrial(dict(maker.defaults))) == maker.defaults


def test_an_unknown_estimator_is_answered_with_those_there_are() -> None:
    with pytest.raises(TrainingError, match="lightgbm, xgboost, linear, anchor"):
        estimator("forest")


def test_a_folder_without_a_regressor_says_so(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="register the version again"):
        load_regressor(tmp_path, "residual")


def test_naming_the_estimators_imports_none_of_their_libraries() -> None:
    code = (
        "import sys, training.estimators, training.task\n"
        "print({'lightgbm', 'xgboost', 'optuna', 'sklearn', 'mlflow', 'pandas'} & set(sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"
