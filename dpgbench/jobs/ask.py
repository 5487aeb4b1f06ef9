"""Grids to raw answers: every question of every tile, asked once."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from dpgbench.backends.failures import Failures
from dpgbench.backends.judges.answer_checks import refuse_strays
from dpgbench.backends.protocols import JudgeAnswer, JudgeReply
from dpgbench.domain.answer_text import is_missing
from dpgbench.domain.benchmark import Benchmark
from dpgbench.domain.rows import QuestionRow
from dpgbench.domain.rules import ScoringRule
from dpgbench.domain.score import Answer, Answers, no_probabilities
from dpgbench.domain.spec import GridSpec
from dpgbench.engine.asking import Asker, Opened, OpenGrid, Spent
from dpgbench.engine.work import LocalWorkers, Lost, Workers
from dpgbench.errors import DataError, IncompleteError, counted
from dpgbench.interrupts import finishing_batches
from dpgbench.jobs.events import EventLog
from dpgbench.jobs.progress import Progress
from dpgbench.store.files import JsonLines
from dpgbench.store.image_files import ImageFiles
from dpgbench.store.run.answers import AnswerLine, answer_line
from dpgbench.store.run.directory import RunDir

log = logging.getLogger(__name__)
_NUM_WARNED, _SHARE_WARNED = 10, 0.5  # answers from which on many invalid ones are warned about
_NUM_HOPELESS, _SHARE_HOPELESS = 20, 0.9  # and from which on nothing more is asked
_NUM_SILENT = 20  # answers without any probability from which on nothing more is asked
_LONGEST_EXAMPLE = 100
_SIGNIFICANT = 9

AskWorkers = Workers[OpenGrid, JudgeReply | Opened | Spent]


@dataclass(frozen=True)
class Asked:
    """What a run of `ask` did: answers written now, items that failed, questions cut short."""

    answers: int
    failures: Mapping[str, str]
    truncated_questions: int


def open_grids(
    benchmark: Benchmark,
    items: Sequence[str],
    images: Mapping[str, ImageFiles],
    answers: Answers,
    num_images: int,
    *,
    forms: bool = False,
) -> list[OpenGrid]:
    """Return the items that have an image and a question without an answer.

    Args:
        benchmark: with the questions.
        items: ids.
        images: of those items that have some.
        answers: so far.
        num_images: tiles of an item.
        forms: the probabilities of right answers are wanted.
    """
    grids = []
    for item_id in items:
        if item_id not in images:
            continue
        open_rows = {
            tile: rows
            for tile in range(num_images)
            if (rows := _open_rows(benchmark, answers, item_id, tile))
        }
        if open_rows:
            grids.append(OpenGrid(item_id, images[item_id], open_rows, forms))
    return grids


def _open_rows(
    benchmark: Benchmark, answers: Answers, item_id: str, tile: int
) -> list[QuestionRow]:
    answered = answers.get((item_id, tile), {})
    return [row for row in benchmark.items.get(item_id, ()) if row.qid not in answered]


def ask(
    run: RunDir,
    judge_name: str,
    judge: Any,
    grids: Sequence[OpenGrid],
    grid: GridSpec | None,
    single_colour: dict[str, list[int]] | None = None,
    *,
    has_answers: bool = False,
) -> Asked:
    """Ask a judge of this process what is open, as `ask_workers` does.

    Args:
        run: that answers go to.
        judge_name: that they go by.
        judge: is asked.
        grids: items with open questions.
        grid: size of the images; None where each file is a tile.
        single_colour: gets, by item, the tiles whose pixels are all alike.
        has_answers: the run holds answers of the judge already.

    Raises:
        IncompleteError: nearly all answers from the start are neither yes nor no.
        JudgeContractError: the judge returned something else than answers.
    """
    asker = Asker(judge, grid, has_answers=has_answers)
    workers: AskWorkers = LocalWorkers(asker)
    class_name = asker.judge.class_name
    return ask_workers(run, judge_name, class_name, workers, grids, Seen.into(single_colour))


@dataclass(frozen=True)
class Seen:
    """What comes of asking beside answers, as it comes.

    Attributes:
        single_colour: by item, the tiles whose pixels are all alike.
        account_by_worker: what asking has cost each worker.
    """

    single_colour: dict[str, list[int]] = field(default_factory=dict)
    account_by_worker: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def into(cls, single_colour: dict[str, list[int]] | None) -> Seen:
        """Return a record that writes into `single_colour`, if it is there."""
        return cls() if single_colour is None else cls(single_colour)

    def note_cost(self, spent: Spent) -> None:
        """Note what a worker has cost so far, in place of what it had cost before."""
        if spent.account is not None:
            self.account_by_worker[spent.worker] = spent.account


def ask_workers(
    run: RunDir,
    judge_name: str,
    class_name: str,
    workers: AskWorkers,
    grids: Sequence[OpenGrid],
    seen: Seen,
    *,
    events: EventLog | None = None,
    rule: ScoringRule | None = None,
) -> Asked:
    """Have `workers` ask what is open, and append the answers to the run as they come.

    Args:
        run: that answers go to.
        judge_name: that they go by.
        class_name: that messages about wrong answers call the judge by.
        workers: ask.
        grids: items with open questions.
        seen: gets what comes beside answers.
        events: gets what happens.
        rule: that is about probabilities, where answers without any are worth nothing.

    Raises:
        IncompleteError: nearly all answers from the start are neither yes nor no, or the first ten
            items all end their workers.
        DataError: no answer from the start has a probability, and `rule` is about them.
        JudgeContractError: the judge returned something else than answers.
    """
    failures = Failures()
    total = sum(item.num_questions for item in grids)
    with (
        finishing_batches(),
        run.append_to(run.answers(judge_name)) as lines,
        Progress(
            run.path,
            "score",
            judge_name,
            "question",
            {item.item_id: item.num_questions for item in grids},
            failures.reasons,
            events=events,
        ) as progress,
        closing(_outcomes(workers, grids)) as outcomes,
    ):
        writer = _ReplyWriter(class_name, judge_name, grids, lines, failures)
        writer.validity.rule = rule
        try:
            for outcome in outcomes:
                match outcome:
                    case JudgeReply():
                        writer.write(outcome)
                        if outcome.answers:
                            failures.success()
                        progress.update(outcome.item_id, len(outcome.answers))
                        writer.validity.watch(outcome.answers.values())
                    case Opened():
                        num_left = _note_image(outcome, seen, failures)
                        progress.update(outcome.item_id, num_left)
                    case Spent():
                        seen.note_cost(outcome)
                    case Lost():
                        num_left = _note_lost(outcome, failures)
                        progress.update(outcome.unit.item_id, num_left)
        except IncompleteError as error:
            left = f"{total - writer.written} of {total} questions are left"
            raise type(error)(f"{error} ({left})") from error
        finally:
            if workers.here:  # in another process it is part of what a batch brings
                seen.note_cost(workers.call(Asker.spent))
    return Asked(writer.written, failures.reasons, writer.truncated)


class _ReplyWriter:
    """Appends the answers of replies to a file, and notes what is wrong with them.

    Attributes:
        written: answers in the file by now.
        truncated: of these, to questions that were longer than the judge reads.
        validity: of all answers.
    """

    def __init__(
        self,
        class_name: str,
        judge_name: str,
        grids: Sequence[OpenGrid],
        lines: JsonLines,
        failures: Failures,
    ) -> None:
        self.written = self.truncated = 0
        self.validity = Validity(judge_name)
        self._class_name, self._lines, self._failures = class_name, lines, failures
        self._num_empty: Counter[tuple[str, int]] = Counter()
        self._open = {
            (item.item_id, tile): {row.qid for row in rows}
            for item in grids
            for tile, rows in item.rows_by_tile.items()
        }

    def write(self, reply: JudgeReply) -> None:
        """Append the answers of a reply that are not empty.

        Raises:
            JudgeContractError: it has answers that nobody asked for.
            StorageError: they could not be written.
        """
        tile = (reply.item_id, reply.tile)
        refuse_strays(self._class_name, reply, self._open.get(tile, set()))
        if reply.error is not None:
            self._failures.reasons[reply.item_id] = reply.error
            log.warning("item %s tile %d: %s", reply.item_id, reply.tile, reply.error)
        lines = list(answer_lines(reply))
        self._lines.append(*lines)
        self.written += len(lines)
        self.truncated += sum("truncated" in line for line in lines)
        if num_empty := len(reply.answers) - len(lines):
            self._note_empty(tile, num_empty)

    def _note_empty(self, tile: tuple[str, int], num_empty: int) -> None:
        self._num_empty[tile] += num_empty
        number, item_id = self._num_empty[tile], tile[0]
        are = "an empty answer; it is" if number == 1 else f"{number} empty answers; they are"
        reason = f"tile {tile[1]}: the judge gave {are} asked again by the same command"
        self._failures.reasons[item_id] = reason
        if number == num_empty:  # once a tile
            log.warning("item %s %s", item_id, reason)


class Validity:
    """How many answers are neither yes nor no; ends the work where nearly all are, from the start.

    A judge that says nothing valid twenty times says nothing valid of a whole benchmark either.
    """

    def __init__(self, judge: str) -> None:
        self._judge = judge
        self._answers = self._invalid = 0
        self._first = ""
        self._warned = self._has_probability = False
        self.rule: ScoringRule | None = None

    def watch(self, answers: Iterable[JudgeAnswer]) -> None:
        """Count `answers`; warn once where many are invalid.

        Raises:
            IncompleteError: nearly all of the first ones are.
            DataError: none of the first ones has a probability, and `rule` is about them.
        """
        for answer in answers:
            self._answers += 1
            self._has_probability |= (answer.p_yes, answer.p_answer) != (None, None)
            if answer.invalid or is_missing(answer.text):
                self._first = self._first if self._invalid else answer.text
                self._invalid += 1
        if self.rule and self._answers >= _NUM_SILENT and not self._has_probability:
            raise no_probabilities(self.rule, f"judge {self._judge}")
        if self._answers < _NUM_WARNED:
            return  # too few to tell
        share = self._invalid / self._answers
        message = (
            f"{self._invalid} of {counted(self._answers, 'answer')} of judge {self._judge} are "
            f"neither yes nor no (first: {self._first[:_LONGEST_EXAMPLE]!r})"
        )
        if self._answers >= _NUM_HOPELESS and share >= _SHARE_HOPELESS:
            raise IncompleteError(
                f"{message}: nothing more is asked. Mend the judge, or take another one; then the "
                "same command with --ask-invalid-again asks these anew"
            )
        if not self._warned and share >= _SHARE_WARNED:
            self._warned = True
            log.warning("%s", message)


def _outcomes(
    workers: AskWorkers, grids: Sequence[OpenGrid]
) -> Generator[JudgeReply | Opened | Spent | Lost[OpenGrid], None, None]:
    """Yield the workers' outcomes; closing it closes what the workers hold open."""
    yield from workers.run(grids, len(grids))


def _note_image(image: Opened, seen: Seen, failures: Failures) -> int:
    """Note what was seen of an item's image; return how many questions will stay open."""
    if image.single_colour:
        seen.single_colour[image.item_id] = list(image.single_colour)
    if image.error is not None:
        reason = failures.record(image.item_id, image.error)
        log.warning("item %s: %s", image.item_id, reason)
    return image.num_left


def _note_lost(lost: Lost[OpenGrid], failures: Failures) -> int:
    """Note that an item ends its workers; return how many of its questions stay open.

    Raises:
        IncompleteError: the first items all do, and nothing else was answered.
    """
    item_id = lost.unit.item_id
    log.warning("item %s: %s", item_id, failures.record(item_id, DataError(lost.reason)))
    if reason := failures.hopeless():
        raise IncompleteError(f"{reason}, and so did all items before it")
    return lost.unit.num_questions


def answer_lines(reply: JudgeReply) -> Iterator[AnswerLine]:
    """Yield the lines of the answers of a reply that are not empty."""
    for qid, answer in reply.answers.items():
        if not is_missing(answer.text):
            recorded = Answer(
                *(reply.item_id, reply.tile, qid, answer.text),
                p_yes=None if answer.p_yes is None else round(answer.p_yes, 6),
                invalid=answer.invalid,
                p_answer=None if answer.p_answer is None else significant(answer.p_answer),
            )
            yield answer_line(recorded, truncated=answer.truncated)


def significant(probability: float) -> float:
    """Return a probability with nine significant digits: however small, it is not 0."""
    return float(f"{probability:.{_SIGNIFICANT}g}")
