"""The core: what the two regressors are taught."""

from dataclasses import replace
from functools import cache

import numpy as np

from tests.training_world import built, known_frame, recipe
from training.core import fit_core, fit_features, fit_regressor, table_of, training_inputs
from training.estimators import estimator
from training.examples import Examples, inputs_of
from training.regressor import Table

LINEAR = recipe("linear")


@cache
def examples() -> Examples:
    return built(known_frame())


def rows() -> np.ndarray:
    return np.arange(50, 350)


def test_each_regressor_learns_its_own_target_in_the_order_of_the_rows() -> None:
    fitted = fit_features(LINEAR, examples(), rows())
    core = fit_core(LINEAR, examples(), rows(), fitted)
    inputs = training_inputs(LINEAR, examples(), rows(), fitted)
    judged = inputs_of(examples(), rows(), fitted).matrix
    for regressor, truth, anchor in (
        (core.residual, examples().outcome, inputs.anchor),
        (core.engagement, examples().engagement, inputs.engagement_anchor),
    ):
        target = np.concatenate([truth[rows()], truth[rows()]]) - anchor
        expected = estimator("linear").fit(
            table_of(examples(), inputs),
            target,
            np.flatnonzero(np.isfinite(target)),
            parameters=LINEAR.parameters,
            seed=7,
        )
        np.testing.assert_array_equal(regressor.predict(judged), expected.predict(judged))


def test_features_are_fitted_to_the_given_rows_alone() -> None:
    changed = examples().outcome.copy()
    changed[350:] += 5.0
    other = replace(examples(), outcome=changed)
    given = fit_features(LINEAR, examples(), rows())
    assert given.to_dict() == fit_features(LINEAR, other, rows()).to_dict()
    assert given.to_dict() != fit_features(LINEAR, other, np.arange(400)).to_dict()


def test_a_target_that_is_nowhere_known_teaches_nothing() -> None:
    table = Table(np.random.default_rng(7).normal(size=(50, 2)), ("a", "b"), frozenset())
    for known in (0, 1):
        target = np.full(50, np.nan)
        target[:known] = 3.0
        assert not fit_regressor(LINEAR, table, target).predict(table.matrix).any()
    target[:2] = 3.0
    assert fit_regressor(LINEAR, table, target).predict(table.matrix).any()
