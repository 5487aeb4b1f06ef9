"""One prompt's way to a graph, or to the reason why there is none: who says what, and when.

Pure: a conversation yields what is asked and is sent what is replied.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

from dpgbench.backends.judges.answer_reading import plain_answer
from dpgbench.backends.judges.openai.parsing import numbers_in, read
from dpgbench.backends.llms.chat import ChatReply, ChatRequest
from dpgbench.domain.draft import DraftQuestion, mended
from dpgbench.domain.draft_checks import draft_faults
from dpgbench.domain.draft_flags import Flag, flags_of
from dpgbench.errors import shortened
from dpgbench.jobs.make import template
from dpgbench.jobs.make.examples import Example
from dpgbench.jobs.make.reading import read_graph, read_lines, read_parents, read_tuple

Mode = Literal["auto", "schema", "steps"]
MODES: tuple[Mode, ...] = ("auto", "schema", "steps")
_CUT = "length"
_FILTERED = "content_filter"


@dataclass(frozen=True)
class MakeSettings:
    """What decides a graph beside the model and the prompt.

    Attributes:
        max_questions: of one prompt.
        mode: one call that is held to a JSON schema, three steps in plain lines, or (``auto``) the
            first where the model can be held to one.
        text_check: have the model answer the questions from the prompt alone.
        max_tokens: of a reply that makes the graph; None goes by `max_questions`.
    """

    max_questions: int = 40
    mode: Mode = "auto"
    text_check: bool = True
    max_tokens: int | None = None


@dataclass(frozen=True)
class MadeGraph:
    """What became of a prompt.

    Attributes:
        questions: sound, or empty where there is a `reason`.
        flags: by question number.
        reason: why there is no graph; "" where there is one.
        faults: of first replies, which were put right or are the reason.
        repairs: what was mended without asking.
        mode: how it was made.
    """

    questions: tuple[DraftQuestion, ...] = ()
    flags: Mapping[int, Sequence[Flag]] = field(default_factory=dict)
    reason: str = ""
    faults: tuple[str, ...] = ()
    repairs: tuple[str, ...] = ()
    mode: str = ""


class _Draft(NamedTuple):
    """A draft, the faults that it has, and what was mended in it without asking.

    `is_prose` tells that the reply was no JSON although it was to be.
    """

    questions: tuple[DraftQuestion, ...] = ()
    faults: Sequence[str] = ()
    repairs: Sequence[str] = ()
    is_prose: bool = False


class _NotUsableError(Exception):
    """No further request would help; the message is the reason."""


class _ProseError(_NotUsableError):
    """Replies that were to be JSON are none: the server held the model to nothing."""


Talk = Generator[ChatRequest, ChatReply, MadeGraph]


def make_graph(
    item_id: str,
    prompt: str,
    settings: MakeSettings,
    examples: Sequence[Example],
    attempt: int = 0,
) -> Talk:
    """Return the conversation that makes the graph of a prompt.

    Args:
        item_id: of the prompt.
        settings: how.
        examples: graphs that the model is shown.
        attempt: grows where the replies of an earlier command are not wanted again.
    """
    maker = _Maker(item_id, prompt, settings, examples, attempt)
    try:
        return (yield from maker.talk())
    except _NotUsableError as error:
        faults = (*maker.faults, str(error))
        return MadeGraph(reason=str(error), faults=faults, mode=maker.mode)


class _Maker:
    """The state of one conversation."""

    def __init__(
        self,
        item_id: str,
        prompt: str,
        settings: MakeSettings,
        examples: Sequence[Example],
        attempt: int,
    ) -> None:
        self.item_id, self.prompt, self.settings = item_id, prompt, settings
        self.examples, self.attempt = examples, attempt
        self.mode: str = settings.mode
        self.faults: list[str] = []

    def talk(self) -> Talk:
        draft = None
        if self.settings.mode != "steps":
            draft = yield from self._by_schema()
        if draft is None:
            draft = yield from self._by_steps()
        flags = {n: list(some) for n, some in flags_of(draft.questions, self.prompt).items()}
        if self.settings.text_check:
            for number, flag in (yield from self._text_check(draft.questions)).items():
                flags[number].append(flag)
        return MadeGraph(
            draft.questions, flags, "", tuple(self.faults), tuple(draft.repairs), self.mode
        )

    def _by_schema(self) -> Generator[ChatRequest, ChatReply, _Draft | None]:
        """Return a draft without faults; None where the model is not held to a schema."""
        settings = self.settings
        request = template.graph_request(
            self.prompt, self.examples, settings.max_questions, settings.max_tokens
        )
        reply = yield self._numbered(request)
        if reply.schema_refused:
            if settings.mode == "schema":
                raise _NotUsableError(
                    "the model cannot be held to a JSON schema; leave out --mode schema"
                )
            return None
        self.mode = "schema"
        try:
            return (yield from self._mended(request, reply, self._read_graph))
        except _ProseError as error:
            if settings.mode == "schema":
                raise
            self.faults.append(str(error))
            return None

    def _by_steps(self) -> Generator[ChatRequest, ChatReply, _Draft]:
        """Return a draft without faults, made of tuples, then questions, then parents."""
        self.mode = "steps"
        settings = self.settings
        limits = settings.max_questions, settings.max_tokens
        request = template.tuples_request(self.prompt, self.examples, *limits)
        draft = yield from self._ask(request, self._read_tuples)
        tuples = {question.number: question.tuple for question in draft.questions}
        request = template.questions_request(self.prompt, tuples, self.examples, *limits)
        draft = yield from self._ask(request, lambda text: self._read_questions(text, draft))
        asked = draft
        request = template.parents_request(self.prompt, tuples, self.examples, *limits)
        return (yield from self._ask(request, lambda text: self._read_parents(text, asked)))

    def _ask(
        self, request: ChatRequest, read_reply: Callable[[str], _Draft]
    ) -> Generator[ChatRequest, ChatReply, _Draft]:
        reply = yield self._numbered(request)
        return (yield from self._mended(request, reply, read_reply))

    def _mended(
        self, request: ChatRequest, reply: ChatReply, read_reply: Callable[[str], _Draft]
    ) -> Generator[ChatRequest, ChatReply, _Draft]:
        """Return what a reply says, after one request to put right what is wrong with it.

        Raises:
            _NotUsableError: it is still wrong.
        """
        draft = self._judged(request, reply, read_reply)
        if not draft.faults:
            return draft
        self.faults += draft.faults
        second = template.again(
            self._numbered(request), reply.text, draft.faults, was_cut=reply.finish == _CUT
        )
        reply = yield second
        draft = self._judged(second, reply, read_reply)
        if draft.faults:
            kind = _ProseError if draft.is_prose and reply.finish != _CUT else _NotUsableError
            raise kind("; ".join(draft.faults[:3]))
        return draft

    def _judged(
        self, request: ChatRequest, reply: ChatReply, read_reply: Callable[[str], _Draft]
    ) -> _Draft:
        if reply.finish == _FILTERED:
            raise _NotUsableError("the server's content filter let no reply through")
        draft = read_reply(reply.text)
        if reply.finish == _CUT:
            cut = f"the reply was cut off after {request.max_tokens} tokens; be brief"
            return draft._replace(faults=[cut, *draft.faults])
        return draft

    def _read_graph(self, text: str) -> _Draft:
        questions, faults, has_list = read_graph(text)
        return self._checked(questions, faults)._replace(is_prose=not has_list)

    def _read_tuples(self, text: str) -> _Draft:
        lines, faults = read_lines(text)
        questions = []
        for number, line in lines.items():
            try:
                category, arguments = read_tuple(line)
            except ValueError as error:
                faults.append(f"line {number}: {error}")
            else:
                stand_in = f"Is statement {number} true?"  # until the questions are asked for
                questions.append(DraftQuestion(number, category, arguments, stand_in))
        return self._checked(questions, faults)

    def _read_questions(self, text: str, draft: _Draft) -> _Draft:
        lines, faults = read_lines(text)
        faults += _of_numbers(lines, draft.questions)
        if faults:
            return _Draft(faults=faults)
        questions = [
            replace(question, question=lines[question.number]) for question in draft.questions
        ]
        return self._checked(questions, faults, draft.repairs)

    def _read_parents(self, text: str, draft: _Draft) -> _Draft:
        lines, faults = read_lines(text)
        faults += _of_numbers(lines, draft.questions)
        questions = []
        for question in draft.questions:
            try:
                parents = read_parents(lines.get(question.number, "-"))
            except ValueError as error:
                faults.append(f"line {question.number}: {error}")
            else:
                questions.append(replace(question, parents=parents))
        return self._checked(questions, faults, draft.repairs)

    def _checked(
        self,
        questions: Sequence[DraftQuestion],
        faults: Sequence[str],
        repairs: Sequence[str] = (),
    ) -> _Draft:
        """Return a draft mended, with all its faults: of how it was written, or of what it says."""
        if faults:
            return _Draft(faults=list(faults))
        plain = mended(questions, self.prompt)
        wrong = draft_faults(
            plain.questions,
            self.prompt,
            max_questions=self.settings.max_questions,
            item_id=self.item_id,
        )
        return _Draft(plain.questions, wrong, (*repairs, *plain.repairs))

    def _text_check(
        self, questions: Sequence[DraftQuestion]
    ) -> Generator[ChatRequest, ChatReply, dict[int, Flag]]:
        """Return a flag for each question that the prompt alone does not answer with yes.

        A reply with nothing that can be read as answers says nothing of the questions: the first
        one's flag tells so.
        """
        request = template.check_request(self.prompt, questions, with_schema=self.mode == "schema")
        reply = yield self._numbered(request)
        numbers = [question.number for question in questions]
        words = read(reply.text, numbers, len(questions))
        answers = {number: plain_answer(text) for number, text in words.items()}
        if not any(answers.values()):
            return {numbers[0]: Flag("text-check", f"not checked: {_no_answers(reply, numbers)}")}
        flags = {}
        missing = "the model gave no answer to it"
        if reply.finish == _CUT:
            missing = "the model's reply was cut off before it"
        for number in numbers:
            answer = answers.get(number)
            if answer == "no":
                flags[number] = Flag("text-check", "from the prompt alone the model answers no")
            elif answer is None:
                flags[number] = Flag("text-check", missing)
        return flags

    def _numbered(self, request: ChatRequest) -> ChatRequest:
        return replace(request, attempt=self.attempt)


def _no_answers(reply: ChatReply, asked: Sequence[int]) -> str:
    """Return why a reply holds no answer to any of the questions that were asked."""
    if reply.finish in (_CUT, _FILTERED):
        return "the model's reply was cut off" if reply.finish == _CUT else "a filter stopped it"
    strange = [number for number in numbers_in(reply.text) if number not in asked]
    if strange:
        return f"the model answered question {shortened(strange)}, and there are {len(asked)}"
    return "the model's reply holds no answers" if reply.text.strip() else "the reply was empty"


def _of_numbers(lines: Mapping[int, str], questions: Collection[DraftQuestion]) -> list[str]:
    """Return what is wrong with the numbers of lines that go with questions."""
    numbers = {question.number for question in questions}
    missing, strange = sorted(numbers - set(lines)), sorted(set(lines) - numbers)
    faults = []
    if missing and lines:
        faults.append(f"there is no line for {', '.join(map(str, missing))}")
    if strange:
        faults.append(f"there is no statement {', '.join(map(str, strange[:20]))}")
    return faults
