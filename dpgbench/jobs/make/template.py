"""The words that a language model is asked with for the questions of a prompt.

`TEMPLATE` stands in `make.json`: a change of any text here is a new version of it, because it can
change graphs. docs/own-prompts.md describes them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dpgbench.backends.llms.chat import ChatRequest, Message
from dpgbench.domain.draft import CATEGORIES, DraftQuestion
from dpgbench.jobs.make.examples import Example, numbered

TEMPLATE = "graph/1"

_TASK = """\
You write the questions of a test for image generators. A generator gets a prompt and draws a \
picture; someone who sees only the picture then answers the questions with yes or no. A picture \
that shows exactly what the prompt says gets yes to every question, and each thing that it \
leaves out or gets wrong gets at least one no."""
_RULES = """\
Rules
- Break the prompt into its smallest statements: each thing, each part and state of a thing, each \
colour, shape, size, material and other quality, each relation, each number, each written text, \
and the style or viewpoint of the whole picture. One question asks about one statement.
- Leave out what a picture cannot show: sounds, smells, thoughts, names, what happened before.
- Ask only what the prompt says. Add nothing, and guess nothing.
- The right answer is always yes. Where the prompt denies something, ask for the denial: for "the \
cup has no handle" ask "Is the cup without a handle?". Keep the direction of relations: if the \
dog is behind the tree, do not ask whether the tree is behind the dog.
- A question begins with Is, Are, Does, Do, Has, Have or Can and ends with a question mark. It is \
in English and can be understood by itself: name the thing, write no "it".
- First ask whether a thing is there (entity - whole). What is asked about the thing, such as \
its colour or its place, has that question as a parent: without the thing it makes no sense. A \
relation has every thing in it as a parent. Parents come before their children.
- Never ask the same twice. Write text that the picture shows within double quotes, exactly as in \
the prompt.
- At most {max_questions} questions. Where the prompt says more, take what matters most.

Categories
- entity - whole: a thing, person, animal or place (car)
- entity - part: a part of a thing (car, wheels)
- entity - state: what somebody or something does or is in (dog, sleeping)
- attribute - color (car, red)
- attribute - shape (table, round)
- attribute - size (car, small)
- attribute - texture: material, pattern or surface (table, wooden)
- attribute - other: any other quality (street, busy)
- relation - spatial: where things are to each other (dog, tree, behind)
- relation - non-spatial: what things do with each other (woman, dog, feeds)
- global: style, medium, viewpoint or light of the whole picture (watercolor)
- other - count: how many there are (dogs, ==3)
- other - text: written text (sign, "OPEN")"""
_JSON_FORM = """\
Reply with one JSON object and nothing else: {"questions": [...]}. Each question is an object with \
- "id": its number, counted from 1,
- "span": the words of the prompt that it is about, copied exactly,
- "category": one of the categories above,
- "about": what stands in brackets above, such as "car, red",
- "question": the question,
- "parents": the ids of its parents, [] where it has none."""
_TUPLE_TASK = """\
First step: list what the questions are going to be about. One line for each statement: its \
number, a bar, its category and in brackets what it is about. Write nothing else."""
_QUESTION_TASK = """\
Second step: the statements are listed already. Write the question for each of them, under its \
number: the number, a bar, the question. Write one line for every number, and nothing else."""
_PARENT_TASK = """\
Third step: the statements are listed already. Write for each of them which others must be true \
before its question makes sense: the number, a bar, the numbers of its parents separated by \
commas, or - where it has none. Write one line for every number, and nothing else."""
_AGAIN = """\
That cannot be used as it is:
{faults}
Write the whole reply again with this put right, in the same form and nothing else."""
_CHECK = """\
Here is the description of a picture. Go by its words alone, and imagine nothing that they do not \
say.

Description: {prompt}

Is the answer to each of these questions yes or no? Where the description does not say, the answer \
is no.
{questions}

Reply with one JSON object only. Its keys are the numbers of all {count} questions, each value is \
"yes" or "no"."""

_TOKENS, _TOKENS_A_QUESTION, _TOKENS_A_LINE, _TOKENS_AN_ANSWER = 500, 100, 40, 12
_MOST_FAULTS, _LONGEST_FAULT = 20, 300


def graph_request(
    prompt: str, examples: Sequence[Example], max_questions: int, max_tokens: int | None
) -> ChatRequest:
    """Return the request for a whole graph as JSON of a schema."""
    text = [_TASK, _RULES.replace("{max_questions}", str(max_questions)), _JSON_FORM]
    text += [f"Prompt: {example.prompt}\nReply: {example.as_json}" for example in examples]
    text.append(f"Prompt: {prompt}\nReply:")
    return ChatRequest(
        _user("\n\n".join(text)),
        max_tokens or _TOKENS + _TOKENS_A_QUESTION * max_questions,
        schema=_graph_schema(),
        needs_schema=True,
        purpose="graph",
    )


def _graph_schema() -> dict[str, Any]:
    """Return the JSON schema of a graph, in the part of the language that all servers take."""
    question = {
        "id": {"type": "integer"},
        "span": {"type": "string"},
        "category": {"type": "string", "enum": list(CATEGORIES)},
        "about": {"type": "string"},
        "question": {"type": "string"},
        "parents": {"type": "array", "items": {"type": "integer"}},
    }
    return _object({"questions": {"type": "array", "items": _object(question)}})


def tuples_request(
    prompt: str, examples: Sequence[Example], max_questions: int, max_tokens: int | None
) -> ChatRequest:
    """Return the first of three requests: what the questions are to be about."""
    rules = _RULES.replace("{max_questions}", str(max_questions))
    shown = [f"Prompt: {example.prompt}\nReply:\n{example.tuple_lines}" for example in examples]
    text = [_TASK, rules, _TUPLE_TASK, *shown, f"Prompt: {prompt}\nReply:"]
    return _plain_request("tuples", text, max_questions, max_tokens)


def questions_request(
    prompt: str,
    tuples: Mapping[int, str],
    examples: Sequence[Example],
    max_questions: int,
    max_tokens: int | None,
) -> ChatRequest:
    """Return the second of three requests: the question for each tuple."""
    shown = [_about_tuples(e.prompt, e.tuple_lines, e.question_lines) for e in examples]
    rules = _RULES.replace("{max_questions}", str(max_questions))
    asked = _about_tuples(prompt, numbered(tuples.items()))
    text = [_TASK, rules, _QUESTION_TASK, *shown, asked]
    return _plain_request("questions", text, max_questions, max_tokens)


def parents_request(
    prompt: str,
    tuples: Mapping[int, str],
    examples: Sequence[Example],
    max_questions: int,
    max_tokens: int | None,
) -> ChatRequest:
    """Return the third of three requests: the parents of each tuple."""
    shown = [_about_tuples(e.prompt, e.tuple_lines, e.parent_lines) for e in examples]
    asked = _about_tuples(prompt, numbered(tuples.items()))
    text = [_TASK, _PARENT_TASK, *shown, asked]
    return _plain_request("parents", text, max_questions, max_tokens)


def again(request: ChatRequest, reply: str, faults: Sequence[str], *, was_cut: bool) -> ChatRequest:
    """Return the one request that asks to put the faults of a reply right; they are quoted."""
    shown = [f"- {fault[:_LONGEST_FAULT]}" for fault in faults[:_MOST_FAULTS]]
    if len(faults) > _MOST_FAULTS:
        shown.append(f"- and {len(faults) - _MOST_FAULTS} more")
    longer = 2 * request.max_tokens if was_cut else request.max_tokens
    return request.then(
        reply[: 8 * request.max_tokens],
        _AGAIN.replace("{faults}", "\n".join(shown)),
        max_tokens=longer,
    )


def check_request(
    prompt: str, questions: Sequence[DraftQuestion], *, with_schema: bool
) -> ChatRequest:
    """Return the request that has questions answered from the prompt alone."""
    lines = "\n".join(f"{question.number}. {question.question}" for question in questions)
    text = _CHECK.replace("{count}", str(len(questions))).replace("{questions}", lines)
    answer = {"type": "string", "enum": ["yes", "no"]}
    schema = _object({str(question.number): answer for question in questions})
    return ChatRequest(
        _user(text.replace("{prompt}", prompt)),
        _TOKENS + _TOKENS_AN_ANSWER * len(questions),
        schema=schema if with_schema else None,
        purpose="check",
    )


def texts() -> list[str]:
    """Return every text of the template, for its hash."""
    return [_TASK, _RULES, _JSON_FORM, _TUPLE_TASK, _QUESTION_TASK, _PARENT_TASK, _AGAIN, _CHECK]


def _plain_request(
    purpose: str, text: Sequence[str], max_questions: int, max_tokens: int | None
) -> ChatRequest:
    tokens = max_tokens or _TOKENS + _TOKENS_A_LINE * max_questions
    return ChatRequest(_user("\n\n".join(text)), tokens, purpose=purpose)


def _about_tuples(prompt: str, tuple_lines: str, reply: str = "") -> str:
    return f"Prompt: {prompt}\nStatements:\n{tuple_lines}\nReply:\n{reply}".rstrip("\n")


def _user(text: str) -> tuple[Message, ...]:
    return ({"role": "user", "content": text},)


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }
