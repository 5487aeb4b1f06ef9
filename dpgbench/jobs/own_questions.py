"""Questions made of a run's prompts: by a judge of T2I-CompBench, or by a rule such as vqascore."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from dpgbench.backends.entries import JudgeEntry
from dpgbench.backends.judges.table import find_judge
from dpgbench.backends.protocols import JudgeRequest
from dpgbench.compbench.errors import WeightsError
from dpgbench.compbench.noun_chunks import (
    SHIPPED_RELEASES,
    Chunks,
    are_shipped,
    shipped_chunks,
    spacy_chunks,
)
from dpgbench.compbench.questions import kept_chunks, question_of
from dpgbench.domain.own_questions import (
    OwnQuestion,
    category_of,
    chunk_questions,
    prompt_questions,
    whole_prompt_questions,
    with_own_questions,
)
from dpgbench.domain.rules import ScoringRule
from dpgbench.errors import DataError, SetupError, UsageError, clipped, counted, shortened
from dpgbench.jobs.target import Target
from dpgbench.store.chunk_files import read_chunk_file
from dpgbench.store.compbench import COMPBENCH
from dpgbench.store.hashes import sha256_file
from dpgbench.store.paths import user_path
from dpgbench.store.run.questions import asked_benchmark, read_own_questions

log = logging.getLogger(__name__)
SPACY = "spacy"
_DIGITS = 8


def ask_about_prompts(
    target: Target, judge: JudgeRequest | None, rule: ScoringRule
) -> JudgeRequest | None:
    """Give the target the question an item that a rule asks; return the judge as results name it.

    Raises:
        UsageError: the judge makes its questions itself, or recorded answers are to a benchmark's
            own questions.
    """
    if judge is None and target.benchmark.has_graphs:
        raise UsageError(
            f"--rule {rule.name} asks about the whole prompt, and recorded answers are to the "
            f"questions of {target.benchmark.path}; name a list of prompts as --bench if they are "
            "about whole prompts, question 1 of each, or have images asked by --judge"
        )
    if judge is not None and (entry := find_judge(judge.name)).asks != "questions":
        raise UsageError(
            f"--rule {rule.name} asks about the whole prompt, and judge {entry.name} asks what it "
            "makes of a prompt itself; take another --judge"
        )
    prompts = list(target.benchmark.prompts)
    _take(target, whole_prompt_questions(target.benchmark, prompts, rule.question))
    return judge and replace(judge, about=rule.name)


def ask_own_questions(target: Target, judge: JudgeRequest) -> JudgeRequest:
    """Give the target the questions that a judge makes itself; return the judge as results name it.

    A judge that asks the benchmark's questions changes nothing. The questions of a run that are on
    file are taken as they are.

    Raises:
        UsageError: no chosen item is for the judge, or there is no such source of chunks.
        SetupError: spaCy or its model is needed, and not installed.
        DataError: a file of chunks cannot be read, or lacks an item.
    """
    entry = find_judge(judge.name)
    if entry.asks == "questions":
        return judge
    asks_chunks = entry.asks == "noun-chunks"
    if asks_chunks and target.benchmark.has_graphs and not judge.options.get("chunks"):
        return judge
    items = _items_for(target, entry)
    questions: Sequence[OwnQuestion]
    if asks_chunks:
        judge, questions = _chunks(target, judge, items)
    else:
        questions = prompt_questions(target.benchmark, items)
    _take(target, questions)
    return judge


def _take(target: Target, questions: Sequence[OwnQuestion]) -> None:
    """Put questions in the place of the target's, and leave out items without one."""
    target.own_questions = questions
    target.benchmark = with_own_questions(target.benchmark, questions)
    asked = target.benchmark.items
    target.items = [item for item in target.items if item in asked]
    target.chosen = [item for item in target.chosen if item in asked]


def ask_recorded_questions(target: Target, judge: str) -> None:
    """Give the target of recorded answers their questions, where the run has them on file."""
    if read_own_questions(target.run.questions(judge)):
        target.benchmark = asked_benchmark(target.run, judge, target.benchmark)
        target.items = [item for item in target.items if item in target.benchmark.items]


def _items_for(target: Target, entry: JudgeEntry) -> list[str]:
    """Return the items that are for a judge, chosen or not: a part asks what the whole would.

    Of T2I-CompBench, those of its categories.

    Raises:
        UsageError: none of the chosen ones is.
    """
    prompts = list(target.benchmark.prompts)
    if target.benchmark.name != COMPBENCH or not entry.categories:
        return prompts
    items = [item for item in prompts if category_of(item) in entry.categories]
    if not set(items) & set(target.items):
        has = shortened(sorted({category_of(item) for item in target.items}))
        raise UsageError(
            f"judge {entry.name} is for {', '.join(entry.categories)}; the chosen items of "
            f"{target.benchmark.name} are {has}"
        )
    return items


def _chunks(
    target: Target, judge: JudgeRequest, items: Sequence[str]
) -> tuple[JudgeRequest, Sequence[OwnQuestion]]:
    """Return the judge with the name of the chunks' source, and its questions."""
    prompts = {item: target.benchmark.prompts[item] for item in items}
    choice = judge.options.get("chunks")
    if choice in (None, *SHIPPED_RELEASES, *map(_named, SHIPPED_RELEASES)):
        name, chunks = _tagged(target, judge, prompts, choice)
    elif choice == SPACY:
        name, chunks = _by_item(_by_spacy(list(prompts.values())), prompts)
    else:
        path = user_path(str(choice))
        if not path.is_file():
            raise UsageError(
                f"--chunks {choice}: choose {', '.join(SHIPPED_RELEASES)} (shipped, for "
                f"T2I-CompBench's own prompts), {SPACY}, or a file of JSON lines"
            )
        name = f"chunks-{sha256_file(path)[:_DIGITS]}"
        chunks = read_chunk_file(path, items)
        _warn_strange(path, chunks, prompts)
    kept = {
        item: [question_of(c) for c in kept_chunks(of_item)] for item, of_item in chunks.items()
    }
    return replace(judge, options={**judge.options, "chunks": name}), chunk_questions(kept)


def _warn_strange(
    path: Path, chunks: Mapping[str, Sequence[str]], prompts: Mapping[str, str]
) -> None:
    """Say of chunks that do not stand in their prompts that they are asked all the same."""
    strange = [
        (item, chunk)
        for item, of_item in chunks.items()
        for chunk in of_item
        if chunk not in prompts[item]
    ]
    if strange:
        item, chunk = strange[0]
        log.warning(
            "%s: %s %s in the prompt, and %s asked all the same (first: %s of item %s)",
            path,
            counted(len(strange), "chunk"),
            "does not stand" if len(strange) == 1 else "do not stand",
            "is" if len(strange) == 1 else "are",
            clipped(chunk),
            item,
        )


def _named(release: str) -> str:
    return f"en_core_web_sm-{release}"


def _tagged(
    target: Target, judge: JudgeRequest, prompts: Mapping[str, str], choice: str | None
) -> tuple[str, Mapping[str, Sequence[str]]]:
    """Return chunks by a shipped release, or by spaCy where nothing was said and they are not.

    Raises:
        DataError: a release is wanted that has no spans of a prompt.
    """
    if are_shipped(prompts.values()):
        release = (choice or SHIPPED_RELEASES[0]).removeprefix("en_core_web_sm-")
        return _by_item(shipped_chunks(prompts.values(), release), prompts)
    if choice is not None:
        raise DataError(
            f"--chunks {choice}: spans are shipped of T2I-CompBench's colour, shape and texture "
            f"prompts alone; take --chunks {SPACY}, or give a file of chunks"
        )
    return _by_item(_by_spacy(list(prompts.values())), prompts)


def _by_item(chunks: Chunks, prompts: Mapping[str, str]) -> tuple[str, Mapping[str, Sequence[str]]]:
    return chunks.release, {item: chunks.by_prompt[prompt] for item, prompt in prompts.items()}


def _by_spacy(prompts: Sequence[str]) -> Chunks:
    try:
        return spacy_chunks(prompts)
    except WeightsError as error:
        raise SetupError(
            f"{error}; or give the chunks of each prompt with --chunks FILE.jsonl"
        ) from None
