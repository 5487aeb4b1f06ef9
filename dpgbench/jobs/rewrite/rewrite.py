"""All prompts of a benchmark to longer or shorter ones: asked, checked, recorded, listed."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from dpgbench.backends.llms.chat import Ended, Job, LanguageModel, TalkOutcome, advanced
from dpgbench.backends.llms.open import SHAPES, check_llm, open_llm
from dpgbench.backends.llms.options import LlmOptions
from dpgbench.domain.benchmark import ORIGINAL_COLUMN, Benchmark
from dpgbench.errors import IncompleteError, UsageError
from dpgbench.jobs.make.files import MadeFiles, MakeRecord, check_same_list, read_record
from dpgbench.jobs.make.logged_chat import LoggedReplies, account, begin_attempts
from dpgbench.jobs.make.prompts import unusable_prompts
from dpgbench.jobs.rewrite.conversation import (
    DEFAULT_TOKENS,
    TEMPLATE,
    Goal,
    RewriteSettings,
    Rewritten,
    Talk,
    rewrite_prompt,
)
from dpgbench.jobs.rewrite.files import files_at, rewritten_csv
from dpgbench.jobs.rewrite.tokens import counter
from dpgbench.store.chat_log import ChatLog
from dpgbench.store.files import locked_folder
from dpgbench.store.run.manifest import now, toolkit_version

log = logging.getLogger(__name__)
SCHEMA = 1
_MOST_TOKENS = 4096
_NOT_ASKED = "not asked yet"


@dataclass(frozen=True)
class RewriteRequest:
    """What is to be rewritten.

    Attributes:
        benchmark: the original.
        llm: ``openai:MODEL`` or ``hf:REPO``.
        items: ids, in the original's order.
        goal: what prompts are to become.
        tokens: the most that one may have; None goes by the goal.
        tokenizer: counts them; None counts words and marks.
        out: a folder, or the CSV; None is ``rewritten/NAME-GOAL``.
        again: prompts that failed are asked anew instead of by their kept replies.
    """

    benchmark: Benchmark
    llm: str
    items: Sequence[str]
    goal: Goal
    tokens: int | None = None
    tokenizer: str | None = None
    options: LlmOptions = field(default_factory=LlmOptions)
    out: Path | None = None
    again: bool = False

    def check(self) -> None:
        """Raise where the request cannot be right.

        Raises:
            UsageError: it says what.
        """
        check_llm(self.llm)
        if self.llm == SHAPES:
            raise UsageError(
                "--llm shapes reads prompts and writes none; name openai:MODEL or hf:REPO"
            )
        if self.tokens is not None and not 1 <= self.tokens <= _MOST_TOKENS:
            raise UsageError(f"--tokens {self.tokens}: give 1 to {_MOST_TOKENS}")
        self.options.check()

    @property
    def name(self) -> str:
        """What the rewritten benchmark is called."""
        return f"{self.benchmark.name}-{self.goal}"


@dataclass(frozen=True)
class RewrittenBenchmark:
    """What was written, and where it is.

    Attributes:
        failures: reason by item, for those without a rewritten prompt.
        record: what `rewrite.json` holds.
        stopped: what ended the work before all was asked, if anything did.
    """

    files: MadeFiles
    items: int
    rewritten: int
    failures: Mapping[str, str]
    record: Mapping[str, Any]
    stopped: IncompleteError | None = None


class RewriteEstimate(NamedTuple):
    """What is still to be asked, roughly; requests are without those for faults."""

    prompts: int
    kept: int
    requests: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float | None


def rewrite(request: RewriteRequest) -> RewrittenBenchmark:
    """Rewrite the prompts that are not rewritten yet; write the benchmark and the record.

    Raises:
        UsageError: the request cannot be right, or another process is at work here.
        SetupError: the model or the tokenizer cannot be had.
        ResumeMismatchError: the files that are there were made otherwise, or changed since.
    """
    request.check()
    files = files_at(request.out, request.name)
    with locked_folder(files.table):
        chat_log = ChatLog(files.log)
        spent = request.options.cost(*chat_log.total_tokens()) or 0.0
        model = open_llm(request.llm, request.options, spent=spent)
        settings, _ = _settings(request)
        before = read_record(files, _identity(model, settings))
        if before is not None and (path := before.get("original", {}).get("path")):
            check_same_list(files, str(path), request.benchmark, request.items, ORIGINAL_COLUMN)
        with chat_log:
            if request.again and before is not None:
                begin_attempts(chat_log, before["failures"], request.items)
            expected = _estimate(request, model, chat_log)
            outcomes, stopped = _outcomes(request, model, chat_log)
            facts = {
                "model": dict(model.describe()),
                "identity": _identity(model, settings),
                "account": account(request.options, chat_log, model, expected._asdict()),
            }
            earlier = (before, chat_log.attempts)
            return _written(request, files, outcomes, facts, earlier, stopped)


def plan_rewrite(request: RewriteRequest) -> RewriteEstimate:
    """Return what `rewrite` would ask, and what that would cost; nothing is asked or written.

    Raises:
        DpgBenchError: as `rewrite`.
    """
    request.check()
    files = files_at(request.out, request.name)
    return _estimate(request, open_llm(request.llm, request.options), ChatLog(files.log))


def _settings(request: RewriteRequest) -> tuple[RewriteSettings, Any]:
    name, count = counter(request.tokenizer)
    tokens = request.tokens or DEFAULT_TOKENS[request.goal]
    return RewriteSettings(request.goal, tokens, name), count


def _talks(request: RewriteRequest, chat_log: ChatLog) -> dict[str, Talk]:
    """Return the conversations about all prompts that can be rewritten."""
    settings, count = _settings(request)
    prompts = {item: request.benchmark.prompts[item] for item in request.items}
    unusable = unusable_prompts(prompts)
    return {
        item: rewrite_prompt(prompt, settings, count, chat_log.attempts.get(item, 0))
        for item, prompt in prompts.items()
        if item not in unusable
    }


def _estimate(request: RewriteRequest, model: LanguageModel, chat_log: ChatLog) -> RewriteEstimate:
    identity, replies = model.identity(), LoggedReplies(chat_log)
    settings, _ = _settings(request)
    kept = requests = prompt_tokens = 0
    for talk in _talks(request, chat_log).values():
        step = advanced(talk, None, lambda asked: replies.get(asked.key(identity)))
        if isinstance(step, Ended):
            kept += 1
        else:
            requests += 1
            prompt_tokens += step.num_tokens
            talk.close()
    completion_tokens = requests * settings.tokens
    cost = request.options.cost(prompt_tokens, completion_tokens)
    rounded = None if cost is None else round(cost, 4)
    return RewriteEstimate(
        len(request.items), kept, requests, prompt_tokens, completion_tokens, rounded
    )


def _outcomes(
    request: RewriteRequest, model: LanguageModel, chat_log: ChatLog
) -> tuple[dict[str, Rewritten], IncompleteError | None]:
    """Have all prompts rewritten; what became of each, and what ended the work early."""
    prompts = {item: request.benchmark.prompts[item] for item in request.items}
    results = {item: Rewritten(reason=why) for item, why in unusable_prompts(prompts).items()}
    jobs = (Job(item, talk) for item, talk in _talks(request, chat_log).items())
    stopped = None
    try:
        outcomes = model.converse(jobs, LoggedReplies(chat_log))
        for outcome in _shown(outcomes, len(prompts), len(results)):
            if not outcome.is_open:
                failed = Rewritten(reason=outcome.error or "no reply")
                results[outcome.item_id] = outcome.value or failed
    except IncompleteError as error:
        stopped = error
    for item in prompts:
        results.setdefault(item, Rewritten(reason=_NOT_ASKED))
    return results, stopped


def _shown(
    outcomes: Iterator[TalkOutcome[Rewritten]], total: int, done: int
) -> Iterator[TalkOutcome[Rewritten]]:
    from tqdm import tqdm

    with tqdm(total=total, initial=done, unit="prompt", desc="rewrite") as bar:
        for outcome in outcomes:
            reason = outcome.error or (outcome.value and outcome.value.reason)
            if reason and not outcome.is_open:
                log.info("item %s: %s", outcome.item_id, reason)
            bar.update()
            yield outcome


def _written(
    request: RewriteRequest,
    files: MadeFiles,
    outcomes: Mapping[str, Rewritten],
    facts: Mapping[str, Any],
    earlier: tuple[MakeRecord | None, Mapping[str, int]],
    stopped: IncompleteError | None,
) -> RewrittenBenchmark:
    """Write the files and return what is in them.

    Args:
        facts: of the model and what it cost.
        earlier: what earlier commands recorded, and at which attempt each item is.
        stopped: what ended the work early.
    """
    original, (before, attempts) = request.benchmark, earlier
    _, count = _settings(request)
    done = {item: outcomes[item] for item in request.items if not outcomes[item].reason}
    failed = {item: outcomes[item] for item in request.items if outcomes[item].reason}
    record = {
        "schema": SCHEMA,
        "toolkit": toolkit_version(),
        "benchmark": files.table.stem,
        "original": {
            "name": original.name,
            "path": str(original.path),
            "prompts_sha256": original.prompts_sha256,
            "questions_sha256": original.questions_sha256 if original.has_graphs else None,
        },
        **facts,
        "started": (before and before.get("started")) or now(),
        "finished": now(),
        "items": len(request.items),
        "rewritten": len(done),
        "as_they_were": [item for item, one in done.items() if one.as_it_was],
        "tokens": {
            "original": _mean([count(original.prompts[item]) for item in done]),
            "rewritten": _mean([one.tokens for one in done.values()]),
        },
        "stopped": str(stopped) if stopped else None,
        "failures": {
            item: {
                "reason": one.reason,
                "faults": list(one.faults),
                "attempt": attempts.get(item, 0),
            }
            for item, one in failed.items()
        },
        "faults": {item: list(one.faults) for item, one in done.items() if one.faults},
        "repairs": {item: list(one.repairs) for item, one in done.items() if one.repairs},
        "lost_texts": {item: list(one.lost) for item, one in done.items() if one.lost},
    }
    texts = {item: one.text for item, one in done.items()}
    files.write(record, rewritten_csv(original, texts) if texts else None, before)
    return RewrittenBenchmark(
        files,
        len(request.items),
        len(done),
        {item: one.reason for item, one in failed.items()},
        record,
        stopped,
    )


def _mean(numbers: Sequence[int]) -> float | None:
    return round(fmean(numbers), 1) if numbers else None


def _identity(model: LanguageModel, settings: RewriteSettings) -> dict[str, Any]:
    """Return what decides rewritten prompts beside the originals."""
    return {"llm": dict(model.identity()), "template": TEMPLATE, **asdict(settings)}
