"""Raw answers: can each line be read, is it about something, are all questions answered."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dpgbench.domain.answer_text import is_missing
from dpgbench.domain.score import Answer, stray_answers
from dpgbench.errors import clipped, counted, shortened
from dpgbench.jobs.verify.findings import Findings, SetAside
from dpgbench.jobs.verify.grids import tell_form
from dpgbench.jobs.verify.subject import Subject
from dpgbench.store.run.answers import AnswerLine, answers_sha256
from dpgbench.store.run.lines import RunLine, examine_lines

_SHOWN_ITEMS = 3
Question = tuple[str, int, int]
"""Item id, tile and question number."""


@dataclass(frozen=True)
class JudgedAnswers:
    """The answers of one judge, as far as they can be read.

    Attributes:
        judge: whose they are.
        path: of their file.
        answers: in the file's order, as scoring reads them.
        lines: number of the line of each question that has one sound answer.
        open_items: with questions that have no answer.
    """

    judge: str
    path: Path
    answers: Sequence[Answer]
    lines: Mapping[Question, int]
    open_items: frozenset[str] = frozenset()

    def set_aside(
        self, questions: Iterable[Question], item_id: str | None = None, sha256: str | None = None
    ) -> SetAside:
        """Return what takes the answers to some questions out, so that they are asked again.

        Args:
            questions: whose answers go.
            item_id: whose image they are asked about again, where it is another one than it was.
            sha256: of that image.
        """
        numbers = sorted({self.lines[q] for q in questions if q in self.lines})
        facts = (("item_id", item_id), ("sha256", sha256)) if item_id else ()
        return SetAside(self.path, tuple(numbers), (f":{self.judge}", "score"), facts)


def look_at_answers(subject: Subject, findings: Findings) -> list[JudgedAnswers]:
    """Look at every file of answers and return what is in them."""
    judges = dict.fromkeys(subject.manifest.judges)
    paths = {subject.run.answers(judge): judge for judge in judges}
    for path in sorted((subject.run.path / "answers").glob("*.jsonl")):
        if path not in paths and not path.name.startswith("."):
            findings.add(
                "unverified", "unknown-judge", subject.shown(path),
                "no judge in manifest.json has answers of this name, so that nothing tells whose "
                "they are and which questions were asked",
                "restore manifest.json, or move the file away",
            )  # fmt: skip
    judged = [
        _of_judge(subject.of_judge(judge), judge, path, findings) for path, judge in paths.items()
    ]
    if not judged and subject.manifest.kind != "answers" and not subject.is_judged_at_home:
        findings.add(
            "incomplete", "not-judged", subject.shown(subject.run.path / "answers"),
            "no judge was asked yet", f"'dpgbench score {subject.run.path}' asks one",
        )  # fmt: skip
    return judged


def _of_judge(subject: Subject, judge: str, path: Path, findings: Findings) -> JudgedAnswers:
    where = subject.shown(path)
    lines = examine_lines(path, AnswerLine)
    findings.checked["answers"] += len(lines.good)
    bad: dict[int, str] = {line.number: f"it is not an answer: {line.fault}" for line in lines.bad}
    tell_form(where, lines, findings)
    answers = {line.number: _answer(line) for line in lines.good}
    recorded = subject.manifest.kind == "answers"
    if not recorded:
        bad |= {
            n: f"the answer to {_shown(a)} is empty"
            for n, a in answers.items()
            if is_missing(a.answer)
        }
    strays = _strays(subject, answers)
    if strays and recorded:
        findings.add(
            "note", "strays", where,
            f"{counted(len(strays), 'answer')} about nothing in the benchmark, which count nowhere "
            f"(first: {_shown(answers[min(strays)])})",
        )  # fmt: skip
    elif strays:
        bad |= {n: f"{_shown(answers[n])} is none of the benchmark" for n in strays}
    sound = {n: a for n, a in answers.items() if n not in bad}
    repeated = _Repeated.among(lines.good, sound)
    bad |= repeated.contradictions
    _tell_bad(subject, judge, path, bad, findings)
    _tell_repeats(subject, judge, path, repeated.repeats, findings)
    kept = {n: a for n, a in sound.items() if n not in bad}
    if recorded:
        _compare_with_identity(subject, where, list(answers.values()), findings)
    _tell_invalid(where, list(kept.values()), findings)
    questions = {_question(a): n for n, a in kept.items()}
    judged = JudgedAnswers(judge, path, list(answers.values()), questions)
    return replace(judged, open_items=frozenset(_tell_open(subject, judged, findings)))


def _answer(line: RunLine) -> Answer:
    record = line.record
    return Answer(
        record["item_id"],
        record["tile"],
        record["qid"],
        record["answer"] or "",
        record.get("p_yes"),
        record.get("invalid") is True,
        record.get("p_answer"),
    )


def _question(answer: Answer) -> Question:
    return answer.item_id, answer.tile, answer.qid


def _shown(answer: Answer) -> str:
    return f"item {answer.item_id} tile {answer.tile} question {answer.qid}"


def _strays(subject: Subject, answers: Mapping[int, Answer]) -> set[int]:
    """Return the lines about nothing in the benchmark; none where that is not at hand."""
    if subject.benchmark is None or not subject.benchmark.has_graphs:
        return set()
    tiles = subject.manifest.num_images
    strays = set(map(id, stray_answers(answers.values(), subject.benchmark, tiles)))
    return {number for number, answer in answers.items() if id(answer) in strays}


@dataclass(frozen=True)
class _Repeated:
    """Lines about one question, by their numbers.

    Attributes:
        contradictions: that differ in their answer, with the reason why none of them can stay.
        repeats: that say the same again; those that do not say it in the same words (another
            `p_yes`) are all among them, of equal ones all but the first.
    """

    contradictions: Mapping[int, str]
    repeats: Sequence[int]

    @classmethod
    def among(cls, lines: Sequence[RunLine], sound: Mapping[int, Answer]) -> _Repeated:
        """Return those among the lines that can be read."""
        records = {line.number: line.record for line in lines}
        by_question: dict[Question, list[int]] = defaultdict(list)
        for number, answer in sound.items():
            by_question[_question(answer)].append(number)
        contradictions: dict[int, str] = {}
        repeats: list[int] = []
        for numbers in by_question.values():
            first, *others = numbers
            if not others:
                continue
            texts = dict.fromkeys((sound[n].answer, sound[n].invalid) for n in numbers)
            if len(texts) > 1:
                contradiction = " and ".join(clipped(text) for text, _ in texts)
                why = f"lines {shortened(numbers)} contradict each other"
                question = _shown(sound[first])
                contradictions |= dict.fromkeys(numbers, f"{why}: {question} is {contradiction}")
            else:
                equal = all(records[number] == records[first] for number in others)
                repeats += others if equal else numbers
        return cls(contradictions, repeats)


def _tell_repeats(
    subject: Subject, judge: str, path: Path, repeats: Sequence[int], findings: Findings
) -> None:
    if not repeats:
        return
    recorded = subject.manifest.kind == "answers"
    aside = SetAside(path, tuple(repeats), (f":{judge}", "score"))
    findings.add(
        "note", "repeated-answers", subject.shown(path),
        f"{counted(len(repeats), 'line')} with an answer that stands elsewhere too, the same one "
        f"(first: line {min(repeats)}); it counts once",
        "" if recorded else "'--repair' takes them out",
        set_aside=() if recorded else [aside],
    )  # fmt: skip


def _tell_bad(
    subject: Subject, judge: str, path: Path, bad: Mapping[int, str], findings: Findings
) -> None:
    if subject.manifest.kind == "answers":
        action = "the same 'dpgbench score --answers' command writes the file anew"
        for number, fault in sorted(bad.items()):
            aside = [SetAside(path, None, ("answers",))]
            findings.add(
                "damaged", "bad-line", f"{subject.shown(path)} line {number}", fault,
                "'--repair' sets the file aside, then " + action, set_aside=aside,
            )  # fmt: skip
        return
    for number, fault in sorted(bad.items()):
        findings.add(
            "damaged", "bad-line", f"{subject.shown(path)} line {number}", fault,
            "'--repair' takes it out, then the same 'dpgbench score' command asks again",
            set_aside=[SetAside(path, (number,), (f":{judge}", "score"))],
        )  # fmt: skip


def _compare_with_identity(
    subject: Subject, where: str, answers: Sequence[Answer], findings: Findings
) -> None:
    """Compare recorded answers with the hash of them in the identity."""
    recorded = subject.manifest.identity.get("answers_sha256")
    if recorded is None:
        findings.add(
            "unverified", "no-hash", where, "manifest.json has no hash of the recorded answers"
        )
        return
    if answers_sha256(answers) != recorded:
        findings.add(
            "damaged", "answers-changed", where,
            "they are not the answers that were recorded (another sha256 than in manifest.json)",
            "'--repair' sets the file aside, then the same 'dpgbench score --answers' command "
            "writes it anew",
            set_aside=[SetAside(subject.run.path / where, None, ("answers",))],
        )  # fmt: skip


def _tell_invalid(where: str, answers: Sequence[Answer], findings: Findings) -> None:
    invalid = [answer for answer in answers if answer.invalid]
    if invalid:
        are = "is" if len(invalid) == 1 else "are"
        findings.add(
            "note", "invalid-answers", where,
            f"{len(invalid)} of {counted(len(answers), 'answer')} {are} neither yes nor no (first: "
            f"{_shown(invalid[0])}, {clipped(invalid[0].answer)})",
            "'dpgbench score --ask-invalid-again' asks anew",
        )  # fmt: skip


def _tell_open(subject: Subject, judged: JudgedAnswers, findings: Findings) -> set[str]:
    """Say which questions of the run's items have no answer; return these items."""
    benchmark = subject.benchmark
    if benchmark is None or not benchmark.has_graphs:
        return set()
    answered = judged.lines.keys() | subject.answered_at_home(judged.judge)
    missing: dict[str, dict[int, list[int]]] = {}
    total = 0
    for item_id in subject.manifest.items:
        for tile in range(subject.manifest.num_images):
            qids = [row.qid for row in benchmark.items.get(item_id, ())]
            total += len(qids)
            left = [qid for qid in qids if (item_id, tile, qid) not in answered]
            if left:
                missing.setdefault(item_id, {})[tile] = left
    findings.checked["questions"] += total
    if not missing:
        return set()
    count = sum(len(qids) for tiles in missing.values() for qids in tiles.values())
    shown = [
        f"{item_id} tile {tile} question {shortened(qids)}"
        for item_id, tiles in missing.items()
        for tile, qids in tiles.items()
    ]
    recorded = subject.manifest.kind == "answers"
    findings.add(
        "incomplete", "open-questions", subject.shown(judged.path),
        f"{count:,} of {counted(total, 'question')} to {judged.judge} without an answer, of "
        f"{counted(len(missing), 'item')}: {shortened(shown, _SHOWN_ITEMS)}",
        "recorded answers are all that there is" if recorded else
        "the same 'dpgbench score' command asks them",
        judge=judged.judge, questions=missing,
    )  # fmt: skip
    return set(missing)
