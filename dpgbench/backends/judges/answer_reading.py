"""What the free words of a model say: yes, no, or nothing that can be used.

One place for every back end. Thoughts and the boxes around an answer are taken off here; what is
left is read by `dpgbench.domain.answer_text.read_yes_no`. Strict on purpose: an answer that could
mean either is none.
"""

from __future__ import annotations

import re
from typing import Literal

from dpgbench.domain.answer_text import read_yes_no

YesNo = Literal["yes", "no"]

_LONGEST = 200
_LONGEST_READ = 20_000

# Where thoughts begin and end: DeepSeek-R1, Qwen3, GLM (think), Gemini-like (thought), Seed
# (seed:think), Kimi-VL, Magistral, Open-R1 (begin_of_thought), MedGemma (unused94).
_TAGS = r"(?:\w{1,20}:)?(?:think(?:ing)?|thoughts?|reasoning|analysis|reflection)"
_THOUGHTS_BEGIN = re.compile(
    rf"<{_TAGS}>|◁think▷|\[THINK\]|<\|begin_of_thought\|>|<unused94>", re.IGNORECASE
)
_THOUGHTS_END = re.compile(
    rf"</{_TAGS}>|◁/think▷|\[/THINK\]|<\|end_of_thought\|>|<unused95>", re.IGNORECASE
)
# gpt-oss: channels, of which `final` is meant for the reader; and what is left of their marks
# where a server takes special tokens out.
_CHANNEL = "<|channel|>"
_FINAL = re.compile(r"<\|channel\|>\s*final\b.{0,60}?<\|message\|>", re.DOTALL)
_BARE_FINAL = re.compile(r"\s*(?:analysis.*)?assistant\s*final(.*)", re.DOTALL)
_MESSAGE_END = re.compile(r"<\|(?:end|return|start|call)\|>")
# Ends of a turn, where a server leaves special tokens in.
_TURN_END = re.compile(
    r"(?<!\s)"  # a run of spaces is tried from its beginning alone
    r"(?:\s*(?:</s>|<eos>|<end_of_turn>|<\|(?:im_end|eot_id|eot|endoftext|end|return|eom_id)\|>))+"
    r"\s*\Z"
)

_BOXES = re.compile(
    r"<answer>(?P<tag>.*?)</answer>"
    r"|<\|begin_of_box\|>(?P<box>.*?)<\|end_of_box\|>"
    r"|<\|begin_of_(?:solution|answer)\|>(?P<solution>.*?)<\|end_of_(?:solution|answer)\|>"
    r"|\\boxed\s*\{(?P<latex>(?:[^{}]|\{[^{}]*\})*)\}",
    re.IGNORECASE | re.DOTALL,
)
_LATEX_TEXT = re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf|textrm|mbox)\s*\{([^{}]*)\}")
_NEGATED = re.compile(r"(?:\bnot|n['\u2019]t|\bnever|\bneither|\bnor|\bcannot)\W*\Z", re.IGNORECASE)
_EITHER = re.compile(r"\b(?:yes|no)\b", re.IGNORECASE)
_PLAIN = re.compile(
    r"[\W_]*(?:(?:the\s+|my\s+)?(?:final\s+)?answer\b\s*(?:is\b)?)?[\W_]*"
    r"(yes|no|true|false)[\W_]*",
    re.IGNORECASE,
)
_CHINESE = re.compile(r"[\W_]*(?:(?:最终)?答案(?:是|为)?\s*[:：])?[\W_]*(是的?|否|不是)[\W_]*")
_CHINESE_YES = "是"

_MARKUP = re.compile(r"[<>◁▷\[\]\\{}|]")

_ONLY_VALUE = re.compile(r'\{\s*"[^"]*"\s*:\s*"?([^"{}]*?)"?\s*\}')
_WORD = r"[^\W_]"
_FIRST_WORD = re.compile(rf"[\W_]*(yes|no)(?!{_WORD})(.*)", re.IGNORECASE | re.DOTALL)
_OTHER_TOO = re.compile(rf"[\W_]*(?:(?:and|or|but)[\W_]+)?(yes|no)(?!{_WORD})", re.IGNORECASE)
_SETTLED = re.compile(
    rf"[\W_]*(?:yes|no)[\W_]+(?!(?:and|or|but|yes|no)[\W_]){_WORD}+[\W_]", re.IGNORECASE
)


def without_thoughts(text: str, longest: int = _LONGEST_READ) -> str:
    """Return what a model says after it has thought; "" where its thoughts have no end.

    Args:
        text: all that it says.
        longest: characters from its end that are read.
    """
    text = text[-longest:]
    if _CHANNEL in text:
        finals = list(_FINAL.finditer(text))
        text = _MESSAGE_END.split(text[finals[-1].end() :])[0] if finals else ""
    elif bare := _BARE_FINAL.fullmatch(text):
        text = bare[1]
    ends = list(_THOUGHTS_END.finditer(text))
    text = text[ends[-1].end() :] if ends else text
    return "" if _THOUGHTS_BEGIN.search(text) else _TURN_END.sub("", text)


def unboxed(text: str) -> str:
    """Return what a text puts into a box or an answer tag; the text itself where nothing is.

    "" where two boxes differ, where the words before a box turn it round, or where yes or no
    stands behind it.
    """
    boxes = list(_BOXES.finditer(text))
    if not boxes:
        return text
    inner = {_bare(next(part for part in box.groups() if part is not None)) for box in boxes}
    turned = any(_NEGATED.search(text[: box.start()]) for box in boxes)
    if len(inner) > 1 or turned or _EITHER.search(text[boxes[-1].end() :]):
        return ""
    return inner.pop()


def _bare(text: str) -> str:
    """Return a box's content without markup around it, so that equal answers are equal."""
    return _LATEX_TEXT.sub(r"\1", text).strip()


def plain_answer(text: str) -> YesNo | None:
    """Return what `text` says if it is yes or no and nothing else, whatever its case and marks.

    Thoughts, answer tags and boxes are taken off first.
    """
    text = _LATEX_TEXT.sub(r"\1", unboxed(without_thoughts(text))).strip()
    if len(text) > _LONGEST:
        return None
    if match := _PLAIN.fullmatch(text):
        return _word(match[1])
    if match := _CHINESE.fullmatch(text):
        return "yes" if match[1].startswith(_CHINESE_YES) else "no"
    return None


def first_word_answer(text: str) -> YesNo | None:
    """Return yes or no if that is the first word of `text`, or all that it says in the end.

    Not where the other one follows at once ("yes and no", "Yes. No."). For models that were told
    to say one word and may add some: "Yes, there is a dog".
    """
    answer = without_thoughts(text)
    match = _FIRST_WORD.fullmatch(answer)
    if match is None:
        return plain_answer(answer) if answer != text or _BOXES.search(answer) else None
    other = _OTHER_TOO.match(match[2])
    if other and other[1].lower() != match[1].lower():
        return None
    return _word(match[1])


def word_answer(text: str) -> str:
    """Return the short line that answers a question about a number or a word; "" for none.

    Thoughts, answer tags and boxes are taken off, and of an object of JSON its only value is taken.
    """
    bare = unboxed(without_thoughts(text))
    if match := _ONLY_VALUE.fullmatch(bare.strip()):
        bare = match[1]
    line = " ".join(writable(_LATEX_TEXT.sub(r"\1", bare)).split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"


def first_word_settled(text: str) -> bool:
    """Return whether no further words can change what `first_word_answer` says of a text."""
    return _SETTLED.match(text) is not None and _OTHER_TOO.match(_rest(text)) is None


def kept(text: str) -> str:
    """Return the form in which an answer that is neither yes nor no is kept: one short line.

    Never a bare yes or no, which would count, and never half of a surrogate pair, which no file
    could hold.
    """
    line = " ".join(writable(text).split())
    short = line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"
    if not reads_as_either(short):
        return short
    unclear = f"unclear: {short}"[:_LONGEST]  # what is cut off may have said the opposite
    return _MARKUP.sub(" ", unclear) if reads_as_either(unclear) else unclear


def reads_as_either(text: str) -> bool:
    """Return whether anything that reads answers would take `text` for yes or no."""
    return plain_answer(text) is not None or read_yes_no(text) is not None


def writable(text: str) -> str:
    """Return `text` with a question mark for each half of a surrogate pair."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _rest(text: str) -> str:
    match = _FIRST_WORD.fullmatch(text)
    return match[2] if match else ""


def _word(text: str) -> YesNo:
    return "yes" if read_yes_no(text) else "no"
