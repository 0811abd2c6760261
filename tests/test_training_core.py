"""The core: what its regressors are taught."""

from dataclasses import replace
from functools import cache

import numpy as np

from features.columns import FAR_S
from tests.training_world import built, known_frame, recipe
from training.core import COPIES, fit_core, fit_features, lessons_of, training_inputs, without_history
from training.estimators import estimator
from training.examples import Examples, inputs_of, with_history_until
from training.experts import KNOWN

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
    fresh_and_strange = np.r_[0 : len(rows()) : 2, 2 * len(rows()) + 1 : 3 * len(rows()) : 2]
    for regressor, truth, anchor, learned in (
        (core.experts.members[KNOWN], examples().outcome, inputs.anchor, np.flatnonzero(~inputs.is_new)),
        (core.engagement, examples().engagement, inputs.engagement_anchor, fresh_and_strange),
    ):
        target = np.concatenate([truth[rows()]] * 3) - anchor
        expected = estimator("linear").fit(
            lessons_of(examples(), rows(), inputs).table,
            target,
            learned[np.isfinite(target[learned])],
            parameters=LINEAR.parameters,
            seed=7,
        )
        np.testing.assert_array_equal(regressor.predict(judged), expected.predict(judged))


def test_rows_are_learned_as_they_were_then_with_stale_history_then_with_none() -> None:
    fitted = fit_features(LINEAR, examples(), rows())
    inputs = training_inputs(LINEAR, examples(), rows(), fitted)
    fresh, stale, none = np.split(inputs.matrix, COPIES)
    np.testing.assert_array_equal(fresh, inputs_of(examples(), rows(), fitted).matrix)
    whole = inputs_of(examples(), rows(), fitted)
    nothing = with_history_until(examples(), rows(), fitted, whole, np.full(len(rows()), -FAR_S))
    np.testing.assert_array_equal(none, nothing.matrix)
    np.testing.assert_array_equal(none, without_history(examples(), rows(), fitted, whole).matrix)
    known = examples().names.index("outcomes_known")
    assert (stale[:, known] <= fresh[:, known]).all()
    assert (stale[:, known] < fresh[:, known]).any()


def test_lessons_tell_known_accounts_from_strangers() -> None:
    fitted = fit_features(LINEAR, examples(), rows())
    inputs = training_inputs(LINEAR, examples(), rows(), fitted)
    lessons = lessons_of(examples(), rows(), inputs)
    posts = len(rows())
    assert not inputs.is_new[lessons.known].any()
    assert lessons.known.max() < 2 * posts
    np.testing.assert_array_equal(lessons.strangers, np.arange(2 * posts, 3 * posts))
    np.testing.assert_array_equal(lessons.account, np.tile(examples().account[rows()], COPIES))
    np.testing.assert_allclose(lessons.target + inputs.anchor, np.tile(examples().outcome[rows()], COPIES))


def test_features_are_fitted_to_the_given_rows_alone() -> None:
    changed = examples().outcome.copy()
    changed[350:] += 5.0
    other = replace(examples(), outcome=changed)
    given = fit_features(LINEAR, examples(), rows())
    assert given.to_dict() == fit_features(LINEAR, other, rows()).to_dict()
    assert given.to_dict() != fit_features(LINEAR, other, np.arange(400)).to_dict()
