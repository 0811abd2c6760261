"""The blend: how much each expert counts."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.blend import HIGHEST, Blend
from training.experts import EXPERTS

ROWS = 4_000


def judged(accounts: int = 400) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Answers, what came true, who is new and the account of each row."""
    draw = np.random.default_rng(7)
    answers = draw.normal(size=(ROWS, len(EXPERTS)))
    is_new = np.arange(ROWS) % 2 == 1
    known, new = answers @ [0.6, 0.3, 0.0, 0.0, 0.0], answers @ [0.0, 0.2, 0.5, 0.3, 0.4]
    residual = np.where(is_new, new, known) + 0.3 * draw.standard_t(3, size=ROWS)
    return answers, residual, is_new, np.arange(ROWS) // 2 % accounts


def test_weights_are_found_for_known_and_new_accounts_apart() -> None:
    blend = Blend.fit(*judged())
    assert blend.known == pytest.approx((0.6, 0.3, 0.0, 0.0, 0.0), abs=0.04)
    assert blend.new == pytest.approx((0.0, 0.2, 0.5, 0.3, 0.4), abs=0.04)


def test_experts_on_strangers_have_no_say_on_known_accounts() -> None:
    answers, _, is_new, account = judged()
    blend = Blend.fit(answers, answers[:, 2], is_new, account)
    assert blend.known[2:] == (0.0, 0.0, 0.0)
    assert blend.new[2] == pytest.approx(1.0, abs=0.05)


def test_weights_are_never_negative_nor_far_above_one() -> None:
    answers, _, is_new, account = judged()
    assert Blend.fit(answers, -answers.sum(axis=1), is_new, account).new == (0.0,) * 5
    assert Blend.fit(answers, 9 * answers.sum(axis=1), is_new, account).new == (HIGHEST,) * 5


def test_few_accounts_pull_towards_the_anchor() -> None:
    answers, residual, is_new, _ = judged()
    weights = [Blend.fit(answers, residual, is_new, np.arange(ROWS) // 2 % count).known[0] for count in (3, 30, 300)]
    assert weights == sorted(weights)
    assert weights[0] < 0.75 * weights[2]


def test_without_evidence_one_expert_is_taken_at_its_word() -> None:
    answers, residual, is_new, account = judged()
    old = ~is_new
    only = Blend.fit(answers[old], residual[old], is_new[old], account[old])
    assert only.known == Blend.fit(answers, residual, is_new, account).known
    assert only.new == (0.0, 0.0, 1.0, 0.0, 0.0)
    nothing = Blend.fit(np.empty((0, 5)), np.empty(0), np.empty(0, bool), np.empty(0, np.int64))
    assert nothing.known == (1.0, 0.0, 0.0, 0.0, 0.0)


@given(st.integers(1, 40))
@settings(max_examples=20)
def test_a_row_is_blended_alone_as_among_others(row: int) -> None:
    answers, _, is_new, _ = judged()
    blend = Blend((0.31, 0.17, 0.0, 0.0, 0.0), (0.0, 0.2, 0.51, 0.33, 0.4))
    together = blend.residual(answers, is_new)
    assert blend.residual(answers[row : row + 1], is_new[row : row + 1])[0] == together[row]


def test_only_experts_that_count_for_a_row_are_asked_about_it() -> None:
    blend = Blend((0.5, 0.0, 0.0, 0.0, 0.0), (0.0, 0.2, 0.5, 0.0, 0.0))
    known, new = blend.asked(np.array([False, True])).tolist()
    assert known == [True, False, False, False, False]
    assert new == [False, True, True, False, False]
    assert blend.mean.tolist() == [0.25, 0.1, 0.25, 0.0, 0.0]


def test_a_blend_comes_back_from_json() -> None:
    blend = Blend.fit(*judged())
    assert Blend.from_dict(json.loads(json.dumps(blend.to_dict()))) == blend
