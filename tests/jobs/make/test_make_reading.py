"""What is read out of replies, hostile ones too, and what the checks say of real graphs."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from dpgbench.domain.draft import CATEGORIES, DraftQuestion, mended
from dpgbench.domain.draft_checks import draft_faults
from dpgbench.domain.draft_flags import flags_of
from dpgbench.jobs.make.examples import load_examples
from dpgbench.jobs.make.reading import read_graph, read_lines, read_tuple
from tests.jobs.make.kit import graph_of, prompt_of

LONG = 150_000


@pytest.mark.parametrize(
    "text",
    [
        " " * LONG, "\n" * LONG, "- " * LONG, "1" * LONG, "1 | " * LONG, "[" * LONG, "{" * LONG,
        '"' * LONG, "```\n" * (LONG // 4), "```\n" + "\n " * LONG, "1 | a (" + ")" * LONG,
        "1 | a (b)" + " " * LONG + "x", "(" * LONG, '{"a":' * LONG, "<think>" * (LONG // 7),
        "1 | a" + " ." * LONG, "#" * LONG + "1",
    ],
    ids=lambda text: text[:8].encode().hex(),
)  # fmt: skip
def test_long_runs_of_anything_are_read_at_once(text: str) -> None:
    started = time.process_time()
    read_graph(text)
    lines, _ = read_lines(text)
    for line in lines.values():
        try:
            read_tuple(line)
        except ValueError:
            continue
    assert time.process_time() - started < 2.0


def test_a_reply_of_many_questions_is_read_whole() -> None:
    """Though thoughts before an answer are looked for near its end alone."""
    graph = [{**graph_of(prompt_of(1))[0], "id": n, "span": "x" * 200} for n in range(1, 201)]
    assert len(read_graph(json.dumps({"questions": graph})).questions) == 200


def test_own_examples_show_every_category_and_have_no_fault_that_is_flagged() -> None:
    examples = load_examples()
    categories = {q.category for example in examples for q in example.questions}
    assert categories == set(CATEGORIES)
    for example in examples:
        flags = flags_of(example.questions, example.prompt)
        kinds = {flag.kind for some in flags.values() for flag in some}
        assert kinds <= {"uncovered"}


def test_real_graphs(shared: Path) -> None:
    """The faults that people know of in 100 real items, and no others; inventions among flags."""
    path = shared / "data/dpg_bench_100/dpg_bench_100.csv"
    from dpgbench.jobs.make.examples import draft_of
    from dpgbench.store.benchmarks import load_csv

    benchmark = load_csv(path, "real")
    faults, invented = {}, {}
    for item_id, rows in benchmark.items.items():
        prompt = benchmark.prompts[item_id]
        questions = mended(draft_of(rows), prompt).questions
        if wrong := draft_faults(questions, prompt, max_questions=40):
            faults[item_id] = wrong
        flags = [flag for some in flags_of(questions, prompt).values() for flag in some]
        invented[item_id] = [flag.detail for flag in flags if flag.kind == "invented"]
    assert set(faults) == {"partiprompts33", "partiprompts237", "123"}
    assert invented["partiprompts59"] == ["fresh", "green"]


def test_mending_changes_no_edge() -> None:
    draft = [
        DraftQuestion(7, "attribute - colour", "cat, red", "Is it red?", (9,)),
        DraftQuestion(9, "Entity \u2013 Whole", "cat", "Is there a cat?", (0,)),
    ]
    questions, repairs = mended(draft, "a red cat")
    assert [(q.number, q.parents, q.category) for q in questions] == [
        (1, (), "entity - whole"),
        (2, (1,), "attribute - color"),
    ]
    assert len(repairs) == 4
