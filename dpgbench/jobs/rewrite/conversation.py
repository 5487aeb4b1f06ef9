"""One prompt's way to a rewritten one, or to the reason why there is none: who says what, and when.

Pure: a conversation yields what is asked and is sent what is replied.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from typing import Literal

from dpgbench.backends.judges.answer_reading import without_thoughts
from dpgbench.backends.llms.chat import ChatReply, ChatRequest
from dpgbench.domain.answer_text import is_missing

TEMPLATE = 1
"""Grows with every change of the words below that can change a reply."""
Goal = Literal["longer", "shorter"]
GOALS: tuple[Goal, ...] = ("longer", "shorter")
DEFAULT_TOKENS: dict[Goal, int] = {"longer": 128, "shorter": 75}
"""What ELLA's text encoder was trained on, and what CLIP reads beside its two special tokens."""

_LONGER = """\
You rewrite prompts for a text-to-image model. Make the user's prompt longer, so that it describes \
the same picture in more detail.
- Keep everything that it names: things, their number, looks and places, what they do, the style, \
and every text in quotation marks, letter by letter. Call things what the prompt calls them.
- Add what fits and can be seen: materials, colours of what has none yet, light, surroundings, the \
point of view. Add no further main subject, and nothing that contradicts the prompt.
- Turn nothing around, and leave what is denied denied.
- Write in the prompt's language, one paragraph, at most {tokens} tokens (about {words} words).
Reply with the rewritten prompt alone: no introduction, no quotation marks around it."""
_SHORTER = """\
You rewrite prompts for a text-to-image model that reads only their beginning. Make the user's \
prompt shorter: at most {tokens} tokens (about {words} words).
- Keep, in this order of importance: the things, their number, their looks, their places and what \
they do, texts in quotation marks letter by letter, the style. Call things what the prompt calls \
them.
- Leave out feelings, repetitions, purposes and filler. Add nothing, turn nothing around.
- Write in the prompt's language, one paragraph of plain sentences or phrases.
Reply with the rewritten prompt alone: no introduction, no quotation marks around it."""
_AGAIN = "This cannot be used: {fault}. Reply with the rewritten prompt alone, as asked above."

_WORDS_A_TOKEN = 0.75
_ROOM = 3
"""So many tokens of a model's own may stand for a token of the budget, and 60 more."""
_LONGEST_TOKEN = 40  # characters of a word, however it is counted
# None holds its own opening mark: a prompt can be a long run of those.
_QUOTED = re.compile(r'"([^"\n]+)"|“([^“”\n]+)”|«([^«»\n]+)»|「([^「」\n]+)」')
_LABEL = re.compile(
    r"^\W*(?:here(?:'s| is)\b[^\n:]*|(?:the )?(?:rewritten|longer|shorter|new|revised|expanded)"
    r"[^\n:]{0,30}|(?:rewritten )?prompt|output|sure\b[^\n:]*):\W*\s*",
    re.IGNORECASE,
)
_PARAGRAPHS = re.compile(r"\n[ \t]{0,9}\n")
_NOTE = re.compile(
    r"\W{0,9}(?:(?:notes?|explanation|changes(?: made)?)\W{0,3}:|i(?:'ve| have)? (?:added|kept)\b)",
    re.IGNORECASE,
)
_REFUSAL = re.compile(
    r"^\W*(?:i(?:'m| am) (?:sorry|unable)|sorry\b|i (?:cannot|can't|can not|won't)\b|as an ai\b)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class RewriteSettings:
    """What decides a rewritten prompt beside the model and the original.

    Attributes:
        goal: which of the two it is to become.
        tokens: the most that it may have, as `counter` counts.
        counter: what counts them, in words.
    """

    goal: Goal
    tokens: int
    counter: str


@dataclass(frozen=True)
class Rewritten:
    """What became of a prompt.

    Attributes:
        text: the rewritten prompt; "" where there is a `reason`.
        reason: why there is none; "" where there is one.
        tokens: of the text.
        faults: of first replies, which were put right or are the reason.
        repairs: what was mended without asking.
        lost: texts in quotation marks of the original that a shorter prompt has no more.
        as_it_was: the prompt was short, or long, enough already; nothing was asked.
    """

    text: str = ""
    reason: str = ""
    tokens: int = 0
    faults: tuple[str, ...] = ()
    repairs: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    as_it_was: bool = False


Talk = Generator[ChatRequest, ChatReply, Rewritten]
Count = Callable[[str], int]


def rewrite_prompt(prompt: str, settings: RewriteSettings, count: Count, attempt: int = 0) -> Talk:
    """Return the conversation that rewrites a prompt; one reply with a fault is asked again.

    Args:
        prompt: the original.
        settings: how.
        count: how many tokens a text has.
        attempt: grows where the replies of an earlier command are not wanted again.
    """
    is_long = count(prompt) >= settings.tokens
    if is_long == (settings.goal == "longer") or count(prompt) == settings.tokens:
        return Rewritten(prompt, tokens=count(prompt), as_it_was=True)
    request = _request(prompt, settings, attempt)
    faults: list[str] = []
    for _ in range(2):
        reply = yield request
        text, repairs = cleaned(reply.text)
        fault = _fault(prompt, text, reply, settings, count)
        if not fault:
            lost = tuple(words for words in quoted(prompt) if words not in text)
            return Rewritten(text, "", count(text), tuple(faults), repairs, lost)
        faults.append(fault)
        request = replace(
            request.then(reply.text, _AGAIN.format(fault=fault)), purpose="rewrite again"
        )
    return Rewritten(reason=faults[-1], faults=tuple(faults))


def cleaned(reply: str) -> tuple[str, tuple[str, ...]]:
    """Return the prompt that a reply holds, and what stood around it."""
    repairs = []
    text = reply.strip()
    if (spoken := without_thoughts(text, len(text)).strip()) != text:
        text = spoken
        repairs.append("thoughts or marks of the model's own")
    if fenced := re.fullmatch(r"```\w*\n(.*?)\n?```", text, re.DOTALL):
        text = fenced[1].strip()
        repairs.append("a fence around it")
    if label := _LABEL.match(text):
        text = text[label.end() :].strip()
        repairs.append("an introduction")
    if text[:1] in ('"', "“") and text[-1:] in ('"', "”") and not re.search('["“”]', text[1:-1]):
        text = text[1:-1].strip()
        repairs.append("quotation marks around it")
    *before, last = _PARAGRAPHS.split(text)
    if before and _NOTE.match(last):
        text = "\n".join(before).strip()
        repairs.append("a note behind it")
    if (joined := " ".join(text.split())) != text:
        text = joined
        repairs.append("line ends or spaces within it")
    return text, tuple(repairs)


def quoted(prompt: str) -> list[str]:
    """Return the texts that a prompt has in quotation marks."""
    return [next(filter(None, groups)) for groups in _QUOTED.findall(prompt)]


def _request(prompt: str, settings: RewriteSettings, attempt: int) -> ChatRequest:
    template = _LONGER if settings.goal == "longer" else _SHORTER
    words = max(1, round(settings.tokens * _WORDS_A_TOKEN))
    system = template.format(tokens=settings.tokens, words=words)
    messages = ({"role": "system", "content": system}, {"role": "user", "content": prompt})
    room = settings.tokens * _ROOM + 60
    return ChatRequest(messages, max_tokens=room, attempt=attempt, purpose="rewrite")


def _fault(
    prompt: str, text: str, reply: ChatReply, settings: RewriteSettings, count: Count
) -> str:
    """Return what is wrong with a rewritten prompt; "" where nothing is."""
    if reply.finish == "content_filter":
        return "the model's filter stopped the reply"
    if reply.finish == "length":
        return "the reply was cut off before its end"
    if not text:
        return "the reply is empty"
    if _REFUSAL.match(text) and not _REFUSAL.match(prompt):
        return "the reply refuses"
    if "\0" in text or not text.isprintable():
        return "the reply holds control characters"
    if _is_json(text) and not _is_json(prompt):
        return "the reply is JSON"
    if is_missing(text):
        return f"the reply is the word {text!r}"
    return _wrong_length(prompt, text, settings, count) or _wrong_texts(prompt, text, settings)


def _is_json(text: str) -> bool:
    if text[:1] not in ("{", "["):
        return False
    with contextlib.suppress(ValueError, RecursionError):
        json.loads(text)
        return True
    return False


def _wrong_length(prompt: str, text: str, settings: RewriteSettings, count: Count) -> str:
    tokens, before = count(text), count(prompt)
    if tokens > settings.tokens:
        return f"it has {tokens} tokens, and {settings.tokens} are allowed"
    if len(text) > settings.tokens * _LONGEST_TOKEN:
        return f"it has {len(text)} characters, too many for {settings.tokens} tokens"
    if settings.goal == "longer" and tokens <= before:
        return f"it is not longer: {tokens} tokens, and the prompt has {before}"
    return ""


def _wrong_texts(prompt: str, text: str, settings: RewriteSettings) -> str:
    if settings.goal == "shorter":
        return ""  # there may be no room for them; they are recorded
    lost = [words for words in quoted(prompt) if words not in text]
    return f"the text {lost[0]!r} in quotation marks is missing" if lost else ""
