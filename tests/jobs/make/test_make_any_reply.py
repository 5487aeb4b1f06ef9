"""Whatever a language model replies, the file is a sound benchmark or the prompt is listed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dpgbench.backends.llms.chat import SCHEMA_REFUSED, ChatReply
from dpgbench.domain.draft import CATEGORIES
from dpgbench.jobs.make.conversation import MadeGraph, MakeSettings, make_graph
from dpgbench.jobs.make.examples import load_examples
from dpgbench.jobs.make.files import made_csv
from dpgbench.jobs.make.prompts import unusable_prompts
from dpgbench.store.benchmarks import load_csv
from tests.jobs.make.kit import graph_of, prompt_of, text_for

PROMPT = prompt_of(3)
GRAPH = graph_of(PROMPT)
EXAMPLES = load_examples()
MARKS = (
    "|",
    '"',
    "\u201c",
    "(",
    ")",
    "?",
    "\n",
    "\r",
    ",",
    "=",
    "\ud83d",
    "\x00",
    "\u2028",
    "\x1b",
)
TEXTS = st.text(max_size=40) | st.lists(st.sampled_from(MARKS), max_size=6).map("".join)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
QUESTIONS = st.builds(
    lambda verb, rest, end: f"{verb} {rest}{end}",
    st.sampled_from(("Is", "are", "Does", "The", "")),
    st.sampled_from(("the cat white", "it", 'there a "3"', "a | b")) | TEXTS,
    st.sampled_from(("?", "", "??", "? ", ".")),
)
FIELDS = {
    "id": st.integers(-1, 9) | VALUES,
    "category": st.sampled_from((*CATEGORIES, "Entity \u2013 Whole", "global -")) | VALUES,
    "about": st.sampled_from(("cat", "cat, white", "", "x)(y")) | VALUES,
    "question": QUESTIONS | VALUES,
    "parents": st.lists(st.integers(-1, 9), max_size=3) | VALUES,
    "span": st.just("cat") | VALUES,
}


@st.composite
def graphs(draw: st.DrawFn) -> str:
    """Return a right graph as JSON, with a few things in it that are not right."""
    graph: list[Any] = [dict(question) for question in GRAPH]
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(graph) - 1))
        if draw(st.booleans()):
            name = draw(st.sampled_from(sorted(FIELDS)))
            if isinstance(graph[place], dict):
                graph[place] = {**graph[place], name: draw(FIELDS[name])}
        else:
            other = draw(st.sampled_from((None, 1, "x", graph[0], graph[-1])))
            graph[place : place + draw(st.integers(0, 1))] = [other] * draw(st.integers(0, 2))
        if not graph:
            break
    text = json.dumps({"questions": graph})
    start, end = draw(st.sampled_from(((0, None), (0, -3), (1, None), (0, 100), (0, 250))))
    around = draw(st.sampled_from(("{}", "Here:\n```json\n{}\n```", "{} OK?", "<think>{}", "[{}]")))
    return around.replace("{}", text[start:end])


LINES = st.lists(
    st.tuples(
        st.integers(-1, 8),
        st.sampled_from((" | ", ". ", ") ", ": ", " ")),
        st.sampled_from(
            (
                "entity - whole (cat)", "attribute - color (cat, white)", "Is there a cat?",
                "Is the cat white?", "-", "1", "1, 2", "0", "2", "none",
            )
        )
        | TEXTS,
    ).map(lambda parts: "".join(map(str, parts))),
    max_size=5,
).map("\n".join)  # fmt: skip
REPLIES = st.builds(
    ChatReply,
    graphs() | LINES | TEXTS | VALUES.map(json.dumps),
    st.sampled_from(("stop", "length", "content_filter", "")),
) | st.just(SCHEMA_REFUSED)
EDITS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 3), TEXTS), max_size=2)
"""Of what a good model would have said: where, how many characters go, what comes instead."""
Reply = ChatReply | list[tuple[float, int, str]]
PROMPTS = st.just(PROMPT) | st.text(min_size=1, max_size=60).map(lambda text: f"{text} 3".strip())


def edited(text: str, edits: list[tuple[float, int, str]]) -> str:
    for where, less, more in edits:
        place = int(where * len(text))
        text = text[:place] + more + text[place + less :]
    return text


def made_with(prompt: str, replies: list[Reply], text_check: bool) -> MadeGraph:
    """Return what becomes of a prompt; after the last reply the same one comes again."""
    talk = make_graph("one", prompt, MakeSettings(8, text_check=text_check), EXAMPLES)
    request = next(talk)
    for number in range(20):
        reply = replies[min(number, len(replies) - 1)]
        if isinstance(reply, list):
            reply = ChatReply(edited(text_for(request.purpose, PROMPT), reply))
        if reply.schema_refused and not request.needs_schema:
            reply = ChatReply("")
        try:
            request = talk.send(reply)
        except StopIteration as stop:
            made: MadeGraph = stop.value
            return made
    raise AssertionError("more requests than a prompt may cost")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("made")


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(PROMPTS, st.lists(REPLIES | EDITS, min_size=1, max_size=6), st.booleans())
def test_any_reply_ends_as_a_sound_graph_or_with_a_reason(
    folder: Path, prompt: str, replies: list[Reply], text_check: bool
) -> None:
    if unusable_prompts({"one": prompt}):
        return
    made = made_with(prompt, replies, text_check)
    if made.reason:
        assert not made.questions
        return
    path = folder / "b.csv"
    text = made_csv({"one": prompt}, {"one": made})
    path.write_bytes(text.encode("utf-8", "replace"))
    benchmark = load_csv(path, "b")
    assert benchmark.findings() == []
    assert len(benchmark.rows) == len(made.questions) <= 8
    assert benchmark.prompts == {"one": prompt.encode("utf-8", "replace").decode().strip()}


def test_a_good_reply_among_them_is_taken() -> None:
    """So that the test above does not hold because everything is refused."""
    made = made_with(PROMPT, [ChatReply(json.dumps({"questions": GRAPH}))], text_check=False)
    assert len(made.questions) == 6
