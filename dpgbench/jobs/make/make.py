"""All prompts of a file to graphs: asked, checked, recorded, listed where there is none."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from dpgbench.backends.llms.chat import (
    Job,
    LanguageModel,
    TalkOutcome,
)
from dpgbench.backends.llms.open import SHAPES, check_llm, open_llm
from dpgbench.backends.llms.options import LlmOptions
from dpgbench.domain.benchmark import Benchmark
from dpgbench.domain.spec import canonical_json
from dpgbench.errors import IncompleteError, UsageError
from dpgbench.jobs.make import template
from dpgbench.jobs.make.conversation import MODES, MadeGraph, MakeSettings, make_graph
from dpgbench.jobs.make.estimate import MakeEstimate, estimate
from dpgbench.jobs.make.examples import OWN_EXAMPLES, Example, digest_of, load_examples
from dpgbench.jobs.make.files import (
    SCHEMA,
    MadeFiles,
    MakeRecord,
    check_same_list,
    made_csv,
    read_record,
)
from dpgbench.jobs.make.logged_chat import LoggedReplies, account, begin_attempts
from dpgbench.jobs.make.prompts import unusable_prompts
from dpgbench.jobs.make.shapes import make_shapes_graph
from dpgbench.store.benchmarks import load_csv
from dpgbench.store.chat_log import ChatLog
from dpgbench.store.files import locked_folder
from dpgbench.store.run.manifest import now, toolkit_version

log = logging.getLogger(__name__)
_MOST_QUESTIONS = 200
_NOT_ASKED = "not asked yet"


@dataclass(frozen=True)
class MakeRequest:
    """What is to be made.

    Attributes:
        benchmark: the prompts; questions that it has are not looked at.
        llm: ``openai:MODEL``, ``hf:REPO`` or ``shapes``.
        items: ids, in the order in which the file is to have them.
        out: a folder, or the CSV; None is ``made/NAME``.
        examples: a file of questions; None is our own.
        again: items that failed are asked anew instead of by their kept replies.
    """

    benchmark: Benchmark
    llm: str
    items: Sequence[str]
    options: LlmOptions = field(default_factory=LlmOptions)
    settings: MakeSettings = field(default_factory=MakeSettings)
    out: Path | None = None
    examples: Path | None = None
    again: bool = False

    def check(self) -> None:
        """Raise where the request cannot be right.

        Raises:
            UsageError: it says what.
        """
        check_llm(self.llm)
        settings = self.settings
        if not 1 <= settings.max_questions <= _MOST_QUESTIONS:
            raise UsageError(
                f"--max-questions {settings.max_questions}: give 1 to {_MOST_QUESTIONS}"
            )
        if settings.mode not in MODES:
            raise UsageError(f"--mode {settings.mode}: choose one of {', '.join(MODES)}")
        if settings.max_tokens is not None and settings.max_tokens < 1:
            raise UsageError(f"--max-tokens {settings.max_tokens}: give 1 or more")


@dataclass(frozen=True)
class Made:
    """What was made, and where it is.

    Attributes:
        questions: of all items together.
        failures: reason by item, for those without a graph.
        flagged: questions with a flag, by kind.
        record: what `make.json` holds.
        stopped: what ended the work before all was asked, if anything did.
    """

    files: MadeFiles
    items: int
    made: int
    questions: int
    failures: Mapping[str, str]
    flagged: Mapping[str, int]
    record: Mapping[str, Any]
    stopped: IncompleteError | None = None

    def benchmark(self) -> Benchmark:
        """Return what was made.

        Raises:
            DataError: no prompt has a graph, so that there is no file.
        """
        return load_csv(self.files.table, self.files.table.stem)


class _Work(NamedTuple):
    """What is made, where, and what an earlier command left of it."""

    request: MakeRequest
    files: MadeFiles
    before: MakeRecord | None

    @property
    def prompts(self) -> dict[str, str]:
        """The prompts of the chosen items, in their order."""
        return {item_id: self.request.benchmark.prompts[item_id] for item_id in self.request.items}

    @property
    def started(self) -> str:
        """When the first command for these files began."""
        return (self.before and self.before.get("started")) or now()


def make(request: MakeRequest) -> Made:
    """Make the graphs that are not there yet; write the question file and the record.

    Raises:
        UsageError: the request cannot be right, or another process is at work here.
        SetupError: the model cannot be had.
        ResumeMismatchError: the files that are there were made otherwise, or changed since.
    """
    request.check()
    request.options.check()
    files = MadeFiles.at(request.out, request.benchmark.name)
    with locked_folder(files.table):
        examples = load_examples(request.examples)
        if request.llm == SHAPES:
            return _make_of_shapes(request, files)
        chat_log = ChatLog(files.log)
        spent = request.options.cost(*chat_log.total_tokens()) or 0.0
        model = open_llm(request.llm, request.options, spent=spent)
        identity = _identity(request, model.identity(), examples)
        before = _record_before(request, files, identity)
        with chat_log:
            if request.again and before is not None:
                begin_attempts(chat_log, before["failures"], request.items)
            return _make(_Work(request, files, before), model, chat_log, examples)


def _record_before(
    request: MakeRequest, files: MadeFiles, identity: Mapping[str, Any]
) -> MakeRecord | None:
    """Return what an earlier command recorded; raise as `read_record` and `check_same_list`."""
    before = read_record(files, identity)
    if before is not None and (path := before.get("prompts")):
        check_same_list(files, path, request.benchmark, request.items, "text")
    return before


def plan(request: MakeRequest) -> MakeEstimate:
    """Return what `make` would ask, and what that would cost; nothing is asked or written.

    Raises:
        DpgBenchError: as `make`.
    """
    request.check()
    request.options.check()
    if request.llm == SHAPES:
        return MakeEstimate(len(request.items), 0, 0, 0, 0, None)
    files = MadeFiles.at(request.out, request.benchmark.name)
    model = open_llm(request.llm, request.options)
    return _estimate(request, model, ChatLog(files.log), load_examples(request.examples))


def _make(
    work: _Work, model: LanguageModel, chat_log: ChatLog, examples: Sequence[Example]
) -> Made:
    """Have a language model asked for all graphs, and write what came of it."""
    request, prompts, started = work.request, work.prompts, work.started
    expected = _estimate(request, model, chat_log, examples)
    graphs = {item: MadeGraph(reason=why) for item, why in unusable_prompts(prompts).items()}
    stopped = None
    jobs = _jobs(request, chat_log, examples, without=frozenset(graphs))
    try:
        for outcome in _shown(
            model.converse(jobs, LoggedReplies(chat_log)), len(prompts), len(graphs)
        ):
            if not outcome.is_open:
                failed = MadeGraph(reason=outcome.error or "no reply")
                graphs[outcome.item_id] = outcome.value or failed
    except IncompleteError as error:
        stopped = error
    for item_id in prompts:
        graphs.setdefault(item_id, MadeGraph(reason=_NOT_ASKED))
    facts = {
        "model": dict(model.describe()),
        "identity": _identity(request, model.identity(), examples),
        "account": account(request.options, chat_log, model, expected.to_json()),
        "started": started,
    }
    return _written(work, graphs, facts, chat_log.attempts, stopped)


def _make_of_shapes(request: MakeRequest, files: MadeFiles) -> Made:
    """Read captions of shapes; nothing is asked."""
    request.options.refuse(
        SHAPES, "base_url", "max_requests", "max_cost", "price_in", "price_out", "revision"
    )
    identity = {"llm": {"model": SHAPES}, "max_questions": request.settings.max_questions}
    work = _Work(request, files, _record_before(request, files, identity))
    reasons = unusable_prompts(work.prompts)
    graphs = {
        item_id: MadeGraph(reason=reasons[item_id])
        if item_id in reasons
        else make_shapes_graph(item_id, prompt, request.settings.max_questions)
        for item_id, prompt in work.prompts.items()
    }
    facts = {
        "model": {"model": SHAPES},
        "identity": identity,
        "account": None,
        "started": work.started,
    }
    return _written(work, graphs, facts, {}, None)


def _written(
    work: _Work,
    graphs: Mapping[str, MadeGraph],
    facts: Mapping[str, Any],
    attempts: Mapping[str, int],
    stopped: IncompleteError | None,
) -> Made:
    """Write the files and return what is in them."""
    prompts, files = work.prompts, work.files
    made = {item: graphs[item] for item in prompts if not graphs[item].reason}
    failures = {item: graphs[item].reason for item in prompts if graphs[item].reason}
    flagged = Counter(
        flag.kind for graph in made.values() for some in graph.flags.values() for flag in some
    )
    digest = hashlib.sha256(canonical_json(list(prompts.items())).encode("utf-8", "replace"))
    record = {
        "schema": SCHEMA,
        "toolkit": toolkit_version(),
        "benchmark": files.table.stem,
        "prompts": str(work.request.benchmark.path),
        "prompts_sha256": digest.hexdigest(),
        **facts,
        "finished": now(),
        "items": len(prompts),
        "made": len(made),
        "questions": sum(len(graph.questions) for graph in made.values()),
        "flags": dict(sorted(flagged.items())),
        "stopped": str(stopped) if stopped else None,
        "failures": {
            item: {
                "reason": reason,
                "faults": list(graphs[item].faults),
                "attempt": attempts.get(item, 0),
            }
            for item, reason in failures.items()
        },
        "faults": {item: list(graph.faults) for item, graph in made.items() if graph.faults},
        "repairs": {item: list(graph.repairs) for item, graph in made.items() if graph.repairs},
        "by_steps": [item for item, graph in made.items() if graph.mode == "steps"],
    }
    files.write(record, made_csv(prompts, made) if made else None, work.before)
    return Made(
        files,
        len(prompts),
        len(made),
        int(record["questions"]),
        failures,
        {str(kind): number for kind, number in flagged.items()},
        record,
        stopped,
    )


def _jobs(
    request: MakeRequest,
    chat_log: ChatLog,
    examples: Sequence[Example],
    *,
    without: Collection[str] = (),
) -> Iterator[Job[MadeGraph]]:
    for item_id in request.items:
        if item_id in without:
            continue
        prompt, attempt = request.benchmark.prompts[item_id], chat_log.attempts.get(item_id, 0)
        talk = make_graph(item_id, prompt, request.settings, examples, attempt)
        yield Job(item_id, talk)


def _shown(
    outcomes: Iterator[TalkOutcome[MadeGraph]], total: int, done: int
) -> Iterator[TalkOutcome[MadeGraph]]:
    """Yield outcomes, counted on a bar; failures are logged as they come."""
    from tqdm import tqdm

    failed = 0
    with tqdm(total=total, initial=done, unit="prompt", desc="make") as bar:
        for outcome in outcomes:
            reason = outcome.error or (outcome.value and outcome.value.reason)
            if reason and not outcome.is_open:
                failed += 1
                bar.set_postfix_str(f"{failed} failed", refresh=False)
                log.info("item %s: %s", outcome.item_id, reason)
            bar.update()
            yield outcome


def _estimate(
    request: MakeRequest, model: LanguageModel, chat_log: ChatLog, examples: Sequence[Example]
) -> MakeEstimate:
    identity, kept = model.identity(), LoggedReplies(chat_log)
    talks = (
        (request.benchmark.prompts[job.item_id], job.conversation)
        for job in _jobs(request, chat_log, examples)
    )
    return estimate(
        talks,
        lambda asked: kept.get(asked.key(identity)),
        request.settings,
        request.options,
        by_steps=not model.takes_schemas,
    )


def _identity(
    request: MakeRequest, model: Mapping[str, Any], examples: Sequence[Example]
) -> dict[str, Any]:
    """Return what decides graphs beside the prompts."""
    settings = asdict(request.settings)
    return {
        "llm": dict(model),
        "template": template.TEMPLATE,
        "examples": "own" if request.examples in (None, OWN_EXAMPLES) else request.examples.name,
        "examples_sha256": digest_of(tuple(examples)),
        **settings,
    }
