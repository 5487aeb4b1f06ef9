"""A request to its reply: which questions, the judge's answers, the score under each rule."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from dpgbench.backends.protocols import JudgeReply, TileQuestions
from dpgbench.domain.answer_text import read_expected
from dpgbench.domain.benchmark import Benchmark
from dpgbench.domain.graph import PromptGraph
from dpgbench.domain.plan import ItemPlan, plan_item
from dpgbench.domain.rows import QuestionRow
from dpgbench.domain.rules import RULES, ScoringRule, find_rule
from dpgbench.domain.score import Answer, refuse_benchmark
from dpgbench.domain.spec import find_layout
from dpgbench.errors import DpgBenchError, UsageError, shortened, unknown_name
from dpgbench.jobs.ask import answer_lines
from dpgbench.jobs.score_images import answers_of, score_one_item, texts_of, tile_questions
from dpgbench.server.batching import Askers, ServedJudge
from dpgbench.server.limits import Body, Limits, RefusedRequestError, Room
from dpgbench.server.metrics import Metrics
from dpgbench.server.pictures import check_size, open_tiles
from dpgbench.server.schema import ItemBody, read_request

Status = Literal["loading", "ready", "restarting", "ending"]
_HARMLESS = ("empty_text", "empty_category", "forward_parent")  # of a caller's own questions
_LONGEST_WAIT = 60


@dataclass(frozen=True)
class _Item:
    """An item of a request: its questions, how each rule walks them, its encoded pictures."""

    item_id: str
    where: str
    rows: Sequence[QuestionRow]
    plans: Mapping[str, ItemPlan]
    pictures: Sequence[bytes]
    layout: str | None

    @cached_property
    def tiles_a_picture(self) -> int:
        return 1 if self.layout is None else find_layout(self.layout).num_images

    @property
    def num_tiles(self) -> int:
        return self.tiles_a_picture * len(self.pictures)


@dataclass
class _Work:
    """A request that was understood.

    Attributes:
        items: in the order of the request.
        rules: by name, in the order asked.
        read_answers: read answers as yes or no before a rule sees them.
        megapixels: that its pictures have begun.
        given_up: nobody waits for it any more.
    """

    items: Sequence[_Item]
    rules: Mapping[str, ScoringRule]
    read_answers: bool
    megapixels: int
    given_up: threading.Event = field(default_factory=threading.Event)


class Service:
    """Everything of a server but HTTP.

    Args:
        askers: ask the judge.
        label: the judge's name in results.
        benchmark: whose items can be named; None where callers bring their questions.
        rules: scored under where a request names none.
        limits: of requests.
    """

    def __init__(
        self,
        askers: Askers,
        label: str,
        *,
        benchmark: Benchmark | None,
        rules: Sequence[str],
        limits: Limits,
    ) -> None:
        self.label, self.benchmark, self.limits = label, benchmark, limits
        self.rules = list(rules)
        self.metrics = Metrics()
        self.askers = askers
        self.status: Status = "loading"
        self.stopped = asyncio.Event()
        self.bodies, self.queue = Room(limits.bodies_bytes), Room(limits.queue)
        self.requests = Room(limits.requests)
        self._pool = ThreadPoolExecutor(
            min(8, os.cpu_count() or 1), thread_name_prefix="dpgbench-pictures"
        )
        self._refused: dict[str, str | None] = {}
        self.metrics.watch("ready", "1 where the judge answers.", lambda: self.health == "ready")
        self.metrics.watch("queue_megapixels", "In the queue.", lambda: self.queue.taken)
        self.metrics.watch("queue_limit", "That it holds.", lambda: self.queue.limit)
        self.metrics.watch("tiles_waiting", "For the judge.", lambda: len(self.askers.queue))
        self.metrics.watch("workers", "That can answer now.", lambda: self.askers.num_workers)
        self.metrics.watch("requests_running", "In progress.", lambda: self.requests.taken)

    @property
    def judge(self) -> ServedJudge:
        """The judge; to be asked for once it is ready."""
        return self.askers.ready.result(timeout=0)

    @property
    def health(self) -> Status:
        """What `/health` says: `status`, but for a judge that has no process just now."""
        return self.status if self.status != "ready" or self.askers.num_workers else "restarting"

    def start(self) -> None:
        """Begin to load the judge."""
        self.askers.start(self.limits.batch_seconds, self.metrics.batch)

    def require_ready(self) -> None:
        """Raise where no request can be taken.

        Raises:
            RefusedRequestError: 503.
        """
        if self.status == "loading":
            raise RefusedRequestError(503, f"judge {self.label} is being loaded", retry_after=5)
        if self.status == "ending":
            raise RefusedRequestError(503, "the server is ending", retry_after=30)

    def stop(self) -> None:
        """Ask nothing more; requests that are not answered are told so."""
        self.status = "ending"
        self.stopped.set()
        self.askers.end()

    def close(self) -> None:
        """Let the threads end after what they are at."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def why_refused(self, rule: ScoringRule) -> str | None:
        """Return why a rule cannot score the benchmark; None where it can, or there is none."""
        if rule.name not in RULES:
            return (
                f"rule {rule.name} is about numbers, and the server scores answers of yes and no: "
                "use 'dpgbench score', or one of " + ", ".join(RULES)
            )
        if rule.name not in self._refused:
            self._refused[rule.name] = None
            try:
                if self.benchmark is not None:
                    refuse_benchmark(self.benchmark, rule)
            except DpgBenchError as error:
                self._refused[rule.name] = str(error)
        return self._refused[rule.name]

    def info_json(self) -> dict[str, Any]:
        """Return what the server is, as plain data."""
        benchmark, ready = self.benchmark, self.status == "ready"
        return {
            "status": self.status,
            "judge": self.label,
            "describes": dict(self.judge.describe()) if ready else None,
            "origin": dict(self.judge.origin()) if ready else None,
            "images_at_once": self.judge.num_images_at_once if ready else None,
            "rules": self.rules,
            "all_rules": {
                name: rule.summary for name, rule in RULES.items() if self.why_refused(rule) is None
            },
            "benchmark": None
            if benchmark is None
            else {
                "name": benchmark.name,
                "items": len(benchmark.items),
                "questions": benchmark.num_questions,
                "questions_sha256": benchmark.questions_sha256,
                "graphs_sha256": benchmark.graphs_sha256,
            },
            "limits": self.limits.to_json(),
        }

    async def score_json(self, content_type: str, body: Body) -> dict[str, Any]:
        """Return the reply to a request, as plain data.

        Raises:
            RefusedRequestError: a field, a picture or a limit is at fault.
        """
        loop = asyncio.get_running_loop()
        work = await loop.run_in_executor(self._pool, self._understand, content_type, body.data)
        body.release()
        if work.megapixels > self.queue.limit:
            raise RefusedRequestError(
                413,
                f"{work.megapixels} pictures of a megapixel each are more than the queue ever "
                f"holds ({self.queue.limit}); send them in several requests",
            )
        full = RefusedRequestError(
            429, "the queue is full; send this again", retry_after=self._wait_seconds()
        )
        with self.queue.holding(work.megapixels, full):
            return self._reply(work, await self._ask(work))

    def _wait_seconds(self) -> int:
        """Return a guess at how long the queue needs to get shorter, in whole seconds."""
        return min(_LONGEST_WAIT, 1 + len(self.askers.queue) // 16)

    def _understand(self, content_type: str, data: bytearray) -> _Work:
        """Return what a body asks for, but for the pixels of its pictures."""
        read = read_request(content_type, data, self.limits)
        try:
            rules = {name: find_rule(name) for name in read.body.rules or self.rules}
            items = [
                self._item(number, item, pictures, rules)
                for number, (item, pictures) in enumerate(
                    zip(read.body.items, read.pictures, strict=True)
                )
            ]
        except DpgBenchError as error:
            raise RefusedRequestError(422, str(error)) from None
        megapixels = sum(
            check_size(picture, item.layout, f"{item.where}.images[{position}]", self.limits)
            for item in items
            for position, picture in enumerate(item.pictures)
        )
        return _Work(items, rules, read.body.read_answers, megapixels)

    def _item(
        self,
        number: int,
        item: ItemBody,
        pictures: Sequence[bytes],
        rules: Mapping[str, ScoringRule],
    ) -> _Item:
        where = f"items[{number}]"
        if item.questions is not None:
            item_id = item.item_id or f"item-{number}"
            own = _own_rows(item_id, where, item)
            plans = {name: plan_item(own, rule, 0) for name, rule in rules.items()}
            return _Item(item_id, where, own, plans, pictures, item.layout)
        benchmark = self.benchmark
        if item.item_id is None:
            raise UsageError(f"{where}: give an item_id of the benchmark, or questions")
        if benchmark is None:
            raise UsageError(
                f"{where}: give questions, for the server has no benchmark (serve --bench NAME)"
            )
        if item.item_id not in benchmark.items:
            listing = f"dpgbench prompts list --bench {benchmark.name}"
            raise unknown_name("item", item.item_id, benchmark.items, listing=listing)
        for rule in rules.values():
            if reason := self.why_refused(rule):
                raise UsageError(reason)
        rows = benchmark.items[item.item_id]
        plans = {name: benchmark.plans(rule)[item.item_id] for name, rule in rules.items()}
        return _Item(item.item_id, where, rows, plans, pictures, item.layout)

    async def _ask(self, work: _Work) -> list[list[JudgeReply]]:
        """Return the judge's reply to each tile of each item; pictures are opened on the way."""
        opened = [
            [
                self._pool.submit(self._open, work, item, number)
                for number in range(len(item.pictures))
            ]
            for item in work.items
        ]
        asked: list[list[Future[JudgeReply]]] = []
        try:
            for pictures in opened:
                asked.append([])
                for picture in pictures:
                    tiles = await asyncio.wrap_future(picture)
                    asked[-1] += tiles
            return [[await asyncio.wrap_future(tile) for tile in of_item] for of_item in asked]
        finally:
            work.given_up.set()
            for future in (future for pictures in opened for future in pictures):
                if not future.cancel() and future.done() and not future.exception():
                    for tile in future.result():
                        tile.cancel()

    def _open(self, work: _Work, item: _Item, number: int) -> list[Future[JudgeReply]]:
        """Open a picture and hand its tiles to the judge; in a thread of the pool."""
        if work.given_up.is_set():
            return []
        where = f"{item.where}.images[{number}]"
        images = open_tiles(item.pictures[number], item.layout, where)
        first = number * item.tiles_a_picture
        tiles: list[TileQuestions] = [
            tile_questions(item.item_id, first + place, image, item.rows, self.judge.prepare)
            for place, image in enumerate(images)
        ]
        if work.given_up.is_set():
            return []
        return [self.askers.queue.put(tile) for tile in tiles]

    def _reply(self, work: _Work, replies: Sequence[Sequence[JudgeReply]]) -> dict[str, Any]:
        items = [
            self._item_reply(work, item, of_item)
            for item, of_item in zip(work.items, replies, strict=True)
        ]
        failures = {
            str(number): item["failure"] for number, item in enumerate(items) if item["failure"]
        }
        return {"judge": self.label, "items": items, "failures": failures}

    def _item_reply(
        self, work: _Work, item: _Item, replies: Sequence[JudgeReply]
    ) -> dict[str, Any]:
        errors = [f"tile {reply.tile}: {reply.error}" for reply in replies if reply.error]
        failure = shortened(errors) if errors else None
        answers: list[Answer] = [answer for reply in replies for answer in answers_of(reply)]
        texts = texts_of(answers, item.rows, read=work.read_answers)
        scores = {}
        for name, rule in work.rules.items():
            scored = score_one_item(item.plans[name], rule, texts, item.num_tiles, failure)
            scores[name] = {
                "score": None if scored.score is None else 100 * scored.score,
                "tile_scores": [100 * share for share in scored.tile_scores],
                "failure": scored.failure,
            }
        self.metrics.item(len(answers), failed=failure is not None)
        return {
            "item_id": item.item_id,
            "failure": failure,
            "answers": [line for reply in replies for line in answer_lines(reply)],
            "scores": scores,
        }


def _own_rows(item_id: str, where: str, item: ItemBody) -> list[QuestionRow]:
    """Return a caller's questions as rows of an item.

    Raises:
        UsageError: numbers or parents of theirs make no graph.
    """
    rows = [
        QuestionRow(
            row=place + 1,
            item_id=item_id,
            text=item.prompt or "",
            keywords="",
            qid=question.qid or place,
            dependency=", ".join(map(str, question.parents)) or "0",
            category_broad="",
            category_detailed="",
            tuple="",
            question=question.question,
            expected=read_expected(question.answer),
        )
        for place, question in enumerate(item.questions or (), start=1)
    ]
    for problem in PromptGraph.from_rows(rows).problems:
        if problem.kind not in _HARMLESS:
            text = str(problem).partition("): ")[2]
            raise UsageError(f"{where}.questions[{problem.row - 2}]: {text}")
    return rows
