"""From a post to its answer: which version is asked, what is remembered, what is logged.

Requests that arrive together are answered together (dynamic batching; Crankshaw et al., 2017, Clipper): a version
answers sixteen posts in little more time than one, and each exactly as if it had been asked alone.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from features.errors import NoChampionError
from features.settings import ServiceSettings
from monitoring.log import Prediction, PredictionLog, Role, pack
from serving.answers import Answered, answer
from serving.measures import Measures
from serving.posts import Post, columns_of
from serving.versions import Deployed, Version

MOST_TOGETHER = 64
"""Posts that are answered at once: more would keep the first of them waiting."""

QUIET_TURNS = 2
"""Turns of the loop from reading a request to its question; so many without one, and nobody else is on the way."""

BATCHES_AT_ONCE = 2
"""Calls with many posts that are answered at once; each takes a thread."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """A post that is asked about: when, of which version in which role, and the hash of what is asked."""

    id: str
    post: Post
    version: Version
    role: Role
    asked: bytes
    sha256: str
    started: float
    batch: str | None = None

    @classmethod
    def of(cls, post: Post, version: Version, role: Role) -> Question:
        """Ask a version about a post."""
        asked = post.asked()
        sha256 = hashlib.sha256(asked).hexdigest()
        return cls(_new_id(), post, version, role, asked, sha256, time.perf_counter())

    def to(self, version: Version, role: Role) -> Question:
        """Ask another version the same."""
        return replace(self, version=version, role=role, started=time.perf_counter())


@dataclass(frozen=True, slots=True, eq=False)
class _Remembered:
    answer: dict[str, Any]
    text: bytes
    features: bytes


class Forecaster:
    """Answers posts with the versions deployed at the moment, and logs each answer."""

    def __init__(
        self,
        deployed: Callable[[], Deployed],
        log: PredictionLog,
        measures: Measures,
        settings: ServiceSettings,
    ) -> None:
        self._deployed = deployed
        self._log = log
        self._measures = measures
        self._settings = settings
        self._waiting: dict[str, list[tuple[Question, asyncio.Future[dict[str, Any]]]]] = {}
        self._remembered: OrderedDict[tuple[str, str], _Remembered] = OrderedDict()
        self._batches = asyncio.Semaphore(BATCHES_AT_ONCE)
        self._shadows: set[asyncio.Task[None]] = set()

    async def one(self, family: str, post: Post) -> dict[str, Any]:
        """Answer a post.

        Raises
        ------
        NoChampionError
            No version of the family is in production for its platform.
        """
        question = self._question(family, post)
        known = self._recall(question)
        if known is not None:
            self._shadow([question])
            return self._answered(question, known, cached=True)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[dict[str, Any]] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._answer_when_quiet, 0, QUIET_TURNS)
        self._waiting.setdefault(question.version.sha256, []).append((question, future))
        return await future

    async def many(self, family: str, posts: Sequence[Post]) -> list[dict[str, Any]]:
        """Answer posts of one request in their order; those of one platform know of one another."""
        questions = [self._question(family, post) for post in posts]
        found: dict[int, dict[str, Any]] = {}
        for version in {each.version.sha256: each.version for each in questions}.values():
            rows = [row for row, each in enumerate(questions) if each.version.sha256 == version.sha256]
            batch = questions[rows[0]].id
            asked = [replace(questions[row], batch=batch) for row in rows]
            async with self._batches:
                found.update(zip(rows, await self._answer_batch(asked), strict=True))
        return [found[row] for row in range(len(posts))]

    async def _answer_batch(self, questions: Sequence[Question]) -> list[dict[str, Any]]:
        """Answer posts of one version that know of one another, in a thread, so that they hold up nobody."""
        columns = columns_of([each.post for each in questions])
        try:
            answered = await asyncio.to_thread(answer, questions[0].version, columns, together=True)
        except Exception as error:
            champion = self._instead_of(questions, error)
            if champion is None:
                raise
            return await self._answer_batch([each.to(champion, Role.CHAMPION) for each in questions])
        found = [
            self._answered(question, known, cached=False)
            for question, known in zip(questions, _remember_each(answered), strict=True)
        ]
        self._shadow(questions, together=True)
        return found

    def _question(self, family: str, post: Post) -> Question:
        deployed = self._deployed()
        champion = deployed.champion(post.platform, family)
        if champion is None:
            raise no_champion(post.platform, family)
        challenger = deployed.challengers.get(champion.name)
        if challenger is not None and side(champion.name, post.account_id or "") < self._settings.challenger_share:
            return Question.of(post, challenger, Role.CHALLENGER)
        return Question.of(post, champion, Role.CHAMPION)

    def _answer_when_quiet(self, seen: int, turns: int) -> None:
        """Answer once the loop has gone round some times without another question, or enough have gathered."""
        waiting = sum(map(len, self._waiting.values()))
        turns = QUIET_TURNS if waiting > seen else turns - 1
        if turns and waiting < MOST_TOGETHER:
            asyncio.get_running_loop().call_soon(self._answer_when_quiet, waiting, turns)
        else:
            self._answer_waiting()

    def _answer_waiting(self) -> None:
        """Answer what has gathered, a version at a time."""
        waiting, self._waiting = self._waiting, {}
        for group in waiting.values():
            for start in range(0, len(group), MOST_TOGETHER):
                self._answer_together(group[start : start + MOST_TOGETHER])

    def _answer_together(self, group: list[tuple[Question, asyncio.Future[dict[str, Any]]]]) -> None:
        questions = [question for question, _ in group]
        try:
            answered = answer(questions[0].version, columns_of([each.post for each in questions]))
        except Exception as error:  # noqa: BLE001  whatever it is, those who wait must hear of it
            self._answer_apart(group, error)
            return
        for (question, future), known in zip(group, _remember_each(answered), strict=True):
            self._remember(question, known)
            if not future.done():  # whoever asked may be gone
                future.set_result(self._answered(question, known, cached=False))
        self._shadow(questions)

    def _answer_apart(self, group: list[tuple[Question, asyncio.Future[dict[str, Any]]]], error: Exception) -> None:
        """Answer one by one, so that a post that cannot be answered fails alone; a challenger's go to the champion."""
        if len(group) > 1:
            for each in group:
                self._answer_together([each])
            return
        question, future = group[0]
        champion = self._instead_of([question], error)
        if champion is not None:
            self._answer_together([(question.to(champion, Role.CHAMPION), future)])
        elif not future.done():
            future.set_exception(error)

    def _instead_of(self, questions: Sequence[Question], error: Exception) -> Version | None:
        """Return the champion in place of a challenger that failed, which is counted; None where none was asked."""
        version = questions[0].version
        champion = self._deployed().champions.get(version.name)
        if questions[0].role is not Role.CHALLENGER or champion is None:
            return None
        _log.error("%s %s failed", version.name, version.production.semver, exc_info=error)
        self._measures.failed(version.name, len(questions))
        return champion

    def _shadow(self, questions: Sequence[Question], *, together: bool = False) -> None:
        """Let the challenger forecast what the champion answered, for the log alone and after the answers are out."""
        champions = [each for each in questions if each.role is Role.CHAMPION]
        challenger = self._deployed().challengers.get(questions[0].version.name)
        if not self._settings.shadow or challenger is None or not champions:
            return
        asked = [each.to(challenger, Role.SHADOW) for each in champions]
        if together:
            task = asyncio.get_running_loop().create_task(self._shadow_batch(asked))
            self._shadows.add(task)  # a task that nobody holds may be collected before it is done
            task.add_done_callback(self._shadows.discard)
        else:
            asyncio.get_running_loop().call_soon(self._shadow_apart, asked)

    def _shadow_apart(self, questions: Sequence[Question]) -> None:
        try:
            answered = answer(questions[0].version, columns_of([each.post for each in questions]))
        except Exception as error:  # noqa: BLE001  nobody waits for it
            self._note_failed_shadow(questions, error)
        else:
            self._log_shadow(questions, answered)

    async def _shadow_batch(self, questions: Sequence[Question]) -> None:
        columns = columns_of([each.post for each in questions])
        try:
            async with self._batches:
                answered = await asyncio.to_thread(answer, questions[0].version, columns, together=True)
        except Exception as error:  # noqa: BLE001  nobody waits for it
            self._note_failed_shadow(questions, error)
        else:
            self._log_shadow(questions, answered)

    def _log_shadow(self, questions: Sequence[Question], answered: Answered) -> None:
        for question, known in zip(questions, _remember_each(answered), strict=True):
            self._answered(question, known, cached=False)

    def _note_failed_shadow(self, questions: Sequence[Question], error: Exception) -> None:
        version = questions[0].version
        _log.error("%s %s failed in the shadow", version.name, version.production.semver, exc_info=error)
        self._measures.failed(version.name, len(questions))

    def _recall(self, question: Question) -> _Remembered | None:
        key = question.version.sha256, question.sha256
        known = self._remembered.get(key)
        self._measures.looked_up(hit=known is not None)
        if known is not None:
            self._remembered.move_to_end(key)
        return known

    def _remember(self, question: Question, known: _Remembered) -> None:
        """Keep an answer; those of versions no longer asked for are the first to go."""
        if self._settings.cache_entries:
            self._remembered[question.version.sha256, question.sha256] = known
            if len(self._remembered) > self._settings.cache_entries:
                self._remembered.popitem(last=False)

    def _answered(self, question: Question, known: _Remembered, *, cached: bool) -> dict[str, Any]:
        """Stamp an answer, and log it."""
        version, post = question.version, question.post
        stamp = {
            "prediction_id": question.id,
            "model": version.name,
            "version": version.production.semver,
            "role": str(question.role),
            "post_id": post.post_id or None,
        }
        latency_ms = 1_000 * (time.perf_counter() - question.started)
        self._measures.predicted(version.name, str(question.role), latency_ms)
        self._log.append(
            Prediction(
                id=question.id,
                at=time.time(),
                role=question.role,
                model=version.name,
                version=version.production.version,
                semver=version.production.semver,
                sha256=version.sha256,
                platform=version.platform,
                account_id=post.account_id or "",
                post_id=post.post_id or "",
                published_s=post.published_s,
                inputs_sha256=question.sha256,
                inputs=question.asked,
                features=known.features,
                answer=known.text,
                latency_ms=latency_ms,
                cached=cached,
                batch=question.batch,
            )
        )
        return {**stamp, **known.answer}


_RUN = secrets.token_hex(8)
_numbers = itertools.count()


def _new_id() -> str:
    """Return an id that no other answer has: random for each process, then counted on, which costs next to nothing."""
    return f"{_RUN}{next(_numbers):016x}"


def no_champion(platform: str, family: str) -> NoChampionError:
    """Return the error that nothing is in production."""
    return NoChampionError(
        f"no {family} model of {platform} is in production; train one: clipcast run weekly --platform {platform}"
    )


def side(model: str, account: str) -> float:
    """Return where an account falls between 0 and 1, the same for as long as its model has that name.

    >>> 0 <= side("clipcast-tiktok-performance", "me") < 1
    True
    """
    digest = hashlib.blake2b(f"{model}\0{account}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def _remember_each(answered: Answered) -> list[_Remembered]:
    rows = zip(answered.answers, answered.features, strict=True)
    return [_Remembered(each, orjson.dumps(each), pack(features)) for each, features in rows]
