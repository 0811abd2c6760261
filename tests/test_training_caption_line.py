"""The line on the letters of captions."""

from pathlib import Path

import numpy as np
import pytest

from features.errors import BundleError
from training import caption_line
from training.caption_line import CaptionLine

POSTS = 600


def captions(posts: int = POSTS) -> tuple[list[str | None], np.ndarray]:
    """Captions of two kinds, and what is true of them: cooking adds 1, and dancing takes as much away."""
    draw = np.random.default_rng(7)
    is_food = draw.random(posts) < 0.5
    words = {True: ["pasta", "oven", "tomato"], False: ["dance", "beats", "moves"]}
    texts: list[str | None] = [" ".join(draw.choice(words[bool(food)], 4)) for food in is_food]
    return texts, np.where(is_food, 1.0, -1.0) + 0.3 * draw.normal(size=posts)


def test_it_tells_captions_apart_by_what_is_in_them() -> None:
    texts, target = captions()
    line = CaptionLine.fit(texts, target, np.ones(POSTS))
    found = line.predict(["Tomatoes!", "dancing", None])
    assert found[0] > 0.2
    assert found[1] < -0.2
    assert found[2] == line.intercept
    assert np.corrcoef(line.predict(texts), target)[0, 1] > 0.9


def test_few_posts_teach_little() -> None:
    texts, target = captions()
    few, many = (CaptionLine.fit(texts[:size], target[:size], np.ones(size)) for size in (6, POSTS))
    assert np.abs(few.weights).max() < 0.5 * np.abs(many.weights).max()


def test_the_solution_is_that_of_the_normal_equations() -> None:
    texts, target = captions(40)
    weight = np.linspace(0.5, 1.5, 40)
    line = CaptionLine.fit(texts, target, weight)
    matrix = caption_line.Ngrams.of(texts).matrix().toarray()
    used = np.flatnonzero(matrix.any(axis=0))
    gram = (matrix[:, used].T * weight) @ matrix[:, used] + caption_line.ALPHA * np.eye(len(used))
    exact = np.linalg.solve(gram, matrix[:, used].T @ (weight * (target - np.average(target, weights=weight))))
    np.testing.assert_allclose(line.weights[used], exact, atol=0.01 * np.abs(exact).max())
    assert not np.delete(line.weights, used).any()


def test_only_the_latest_captions_are_learned_from(monkeypatch: pytest.MonkeyPatch) -> None:
    texts, target = captions()
    monkeypatch.setattr(caption_line, "LEARNED_CAPTIONS", 100)
    cut = CaptionLine.fit(texts, target, np.ones(POSTS))
    np.testing.assert_array_equal(cut.weights, CaptionLine.fit(texts[-100:], target[-100:], np.ones(100)).weights)


@pytest.mark.parametrize("posts", [0, 1])
def test_next_to_nothing_teaches_nothing(posts: int) -> None:
    line = CaptionLine.fit(["pasta"] * posts, np.ones(posts), np.ones(posts))
    assert line.predict(["pasta"]).tolist() == [0.0]


def test_unknown_captions_teach_the_mean() -> None:
    line = CaptionLine.fit([None, None], np.array([1.0, 2.0]), np.ones(2))
    assert line.predict(["pasta", None]).tolist() == [1.5, 1.5]


def test_it_comes_back_from_its_file(tmp_path: Path) -> None:
    texts, target = captions()
    line = CaptionLine.fit(texts, target, np.ones(POSTS))
    line.save(tmp_path / "line.json")
    np.testing.assert_array_equal(CaptionLine.load(tmp_path / "line.json").predict(texts), line.predict(texts))


def test_a_model_without_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"no line\.json.*clipcast run weekly"):
        CaptionLine.load(tmp_path / "line.json")


def test_weights_of_other_runs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    CaptionLine.empty().save(tmp_path / "line.json")
    monkeypatch.setattr(caption_line, "RUNS", "words")
    with pytest.raises(BundleError, match="this clipcast words"):
        CaptionLine.load(tmp_path / "line.json")


def test_blocks_change_no_forecast(monkeypatch: pytest.MonkeyPatch) -> None:
    texts, target = captions()
    line = CaptionLine.fit(texts, target, np.ones(POSTS))
    whole = line.predict(texts)
    monkeypatch.setattr(caption_line, "BLOCK", 7)
    np.testing.assert_array_equal(line.predict(texts), whole)
