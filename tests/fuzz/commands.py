"""Commands on damaged runs, and options that people mistype: one line and an exit code, always."""

from __future__ import annotations

import json
import shutil
import tempfile
import traceback
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from dpgbench.domain.spec import identity_hash
from tests.fuzz import damage, sound
from tests.fuzz.bounds import MEBIBYTE, Bounds, within
from tests.fuzz.examine import check_message

CODES = (0, 2, 3, 4, 5, 6)
BOUNDS = Bounds(fixed_bytes=256 * MEBIBYTE, seconds=20.0)
JUDGED = ("score", "r", "--judge", "own_judge:Judge", "--device", "cpu")
SHARDED = ("generate", "--model", "own_model:Model", "--out", "s", "--device", "cpu", "--bench",
           "b.csv")  # fmt: skip
RUN_COMMANDS: tuple[tuple[str, ...], ...] = (
    JUDGED,
    ("generate", "--model", "own_model:Model", "--out", "r", "--device", "cpu", "--bench", "b.csv"),
    ("compare", "r", "other"),
    ("compare", "r", "other", "--json"),
    ("report", "r", "other", "--out", "rep"),
    ("judges", "compare", "own_judge:Judge", "a.csv", "--run", "r"),
    ("judges", "compare", "own_judge:Judge", "--run", "r", "--human", "h.csv", "--json"),
    ("score", "--bench", "b.csv", "--answers", "a.csv", "--out", "ra", "--read-answers"),
    ("score", "r/images", "--bench", "b.csv", "--judge", "own_judge:Judge", "--device", "cpu",
     "--out", "ri"),
    ("prompts", "check", "b.csv"),
    ("prompts", "stats", "b.csv"),
    ("prompts", "list", "--bench", "b.csv"),
    ("prompts", "show", "a1", "--bench", "b.csv"),
    ("verify", "r"),
    ("verify", "r", "--json"),
    ("verify", "r", "--repair"),
    ("merge", "s"),
    ("merge", "r", "s", "--out", "m"),
    ("status", "s"),
    ("status", "w", "--json"),
    ("verify", "s"),
    (*SHARDED, "--shard", "1/2"),
    ("score", "s", *JUDGED[2:], "--shard", "2/2"),
    ("score", "s", *JUDGED[2:], "--shard", "1/3", "--ask-invalid-again"),
    ("report", "s", "--out", "rep"),
)  # fmt: skip
"""Commands that read what a test damages."""


@dataclass(frozen=True)
class RunFile:
    """A file that commands read.

    Attributes:
        pattern: that names it, below the folder of the run.
        kind: of `damage.KINDS`.
        commands: numbers of `RUN_COMMANDS` that read it.
    """

    pattern: str
    kind: str
    commands: Sequence[int]


RUN_FILES = (
    RunFile("r/manifest.json", "json", (*range(7), 13, 14, 15)),
    RunFile("r/images.jsonl", "lines", (*range(7), 13, 14, 15)),
    RunFile("r/answers/*.jsonl", "lines", (*range(7), 13, 14, 15)),
    RunFile("r/scores/*/dsg.json", "json", (2, 3, 4, 13, 14, 15)),
    RunFile("r/scores/*/dsg.items.csv", "table", (2, 3, 4, 13, 14, 15)),
    RunFile("b.csv", "table", range(16)),
    RunFile("a.csv", "table", (5, 7)),
    RunFile("h.csv", "table", (6,)),
    RunFile("r/images/a1.png", "png", (0, 1, 2, 4, 8, 13, 14, 15, 17)),
    *(
        RunFile(f"s/{place}{name}", kind, (*range(16, 19), *range(20, 25)))
        for place in ("", "shards/1-of-2/", "shards/2-of-2/")
        for name, kind in (
            ("manifest.json", "json"),
            ("images.jsonl", "lines"),
            ("answers/*.jsonl", "lines"),
            ("images/*.png", "png"),
        )
    ),
    RunFile("w/.progress.json", "json", (19,)),
    RunFile("w/.owner", "json", (19,)),
    RunFile("w/manifest.json", "json", (19,)),
)


@dataclass(frozen=True)
class Broken:
    """A damaged file of a run, and the command that meets it."""

    pattern: str
    damaged: damage.Damaged
    words: tuple[str, ...]


@st.composite
def broken(draw: st.DrawFn) -> Broken:
    """Return a file of the sound run, damaged, and a command."""
    file = draw(st.sampled_from(RUN_FILES))
    whole = min(sound.made_run().glob(file.pattern)).read_bytes()
    content = draw(damage.damaged(file.kind, [whole])).content
    if file.pattern.endswith("manifest.json"):
        content = _with_right_hash(content)
    words = RUN_COMMANDS[draw(st.sampled_from(file.commands))]
    return Broken(file.pattern, damage.Damaged(content), words)


def _with_right_hash(content: bytes) -> bytes:
    """Return a manifest whose hash is that of its identity, so that it is looked at further."""
    try:
        record = json.loads(content)
        record["identity_hash"] = identity_hash(record["identity"])
        return json.dumps(record).encode()
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return content


def examine_broken(one: Broken) -> None:
    """Raise where a command does anything but work, or end in one line with a code of its own."""
    place = _copy()
    min(place.glob(one.pattern)).write_bytes(one.damaged.content)
    run_in(place, one.words, len(one.damaged.content))


def _copy() -> Path:
    place = _place() / "copy"
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(sound.made_run(), place)
    shutil.copytree(place / "r", place / "other")
    return place


@sound.cache
def _place() -> Path:
    return Path(tempfile.mkdtemp(prefix="fuzz-commands-"))


def run_in(place: Path, words: Sequence[str], size: int) -> int:
    """Run a command in a folder; raise where it does not end as it must; return its exit code."""
    with sound.folder(place), warnings.catch_warnings(), within(BOUNDS, size):
        try:
            ended = sound.call(*words)
        except BaseException:  # noqa: BLE001 - whatever it is, it is what is looked for
            raise AssertionError(f"{words}\n{_tail()}") from None
    assert ended.code in CODES, (words, ended)
    errors = [line for line in ended.err.splitlines() if line.startswith("error: ")]
    assert "Traceback" not in ended.err, (words, ended.err[-2000:])
    assert len(errors) == (ended.code != 0), (words, ended)
    for line in errors:
        check_message(line.removeprefix("error: "))
    if ended.code == 0 and "--json" in words:
        json.loads(ended.out, parse_constant=_refuse)
    return ended.code


def _refuse(name: str) -> None:
    raise AssertionError(f"{name} stands in what --json prints")


def _tail() -> str:
    return traceback.format_exc()[-3000:]


# -- options ------------------------------------------------------------------------------------

_ON_IMAGES = ("score", "r/images", "--bench", "b.csv", "--out", "ri", "--judge", "own_judge:Judge",
              "--device", "cpu")  # fmt: skip
_ON_ANSWERS = ("score", "--bench", "b.csv", "--answers", "a.csv", "--out", "ra")
_DRAWING = ("generate", "--model", "own_model:Model", "--out", "g", "--device", "cpu", "--bench",
            "b.csv")  # fmt: skip
_PLAN = ("plan", "--model", "own_model:Model", "--judge", "own_judge:Judge", "--bench", "b.csv",
         "--device", "cpu", "--seconds-per-image=1", "--questions-per-second=10",
         "--start-seconds=0")  # fmt: skip

OPTIONS: tuple[tuple[tuple[str, ...], str], ...] = (
    *((_ON_IMAGES, name) for name in (
        "--layout", "--pattern", "--items", "--source", "--limit", "--num-images", "--tile-px",
        "--images", "--name", "--rule", "--weights", "--batch-size", "--dtype", "--decode",
        "--revision", "--weights-source", "--concurrency", "--max-requests", "--base-url",
        "--price-in", "--device")),
    *((_ON_ANSWERS, name) for name in (
        "--where", "--items", "--source", "--limit", "--num-images", "--name", "--rule",
        "--bench")),
    *((_DRAWING, name) for name in (
        "--option", "--items", "--source", "--limit", "--num-images", "--seed", "--seed-rule",
        "--steps", "--guidance", "--width", "--height", "--scheduler", "--dtype", "--weights",
        "--negative-prompt", "--model", "--bench", "--batch-size")),
    *((_PLAN, name) for name in (
        "--gpus", "--try", "--seconds-per-image", "--questions-per-second", "--start-seconds",
        "--price-per-gpu-hour", "--limit", "--items", "--out", "--judge-dtype")),
    (JUDGED, "--judge"),
    (("judges", "compare", "own_judge:Judge", "a.csv", "--run", "r", "--human", "h.csv"),
     "--human-columns"),
    (("judges", "compare", "own_judge:Judge", "a.csv", "--run", "r", "--human", "h.csv"),
     "--human-where"),
    (("judges", "compare", "own_judge:Judge", "a.csv", "--run", "r"), "--where"),
    (("judges", "compare", "own_judge:Judge", "a.csv", "--run", "r"), "--model-column"),
    (("judges", "compare", "own_judge:Judge", "a.csv", "--run", "r"), "--rule"),
    (("prompts", "counts", "--bench", "b.csv"), "--check"),
    (("prompts", "list", "--bench", "b.csv"), "--items"),
    (("prompts", "pull"), "--from"),
    (SHARDED, "--shard"),
    (("score", "s", *JUDGED[2:]), "--shard"),
    (("merge", "r", "s"), "--out"),
    (("merge", "s", "--out", "m"), "--bench"),
    (("report", "r", "--check"), "--out"),
)  # fmt: skip


@dataclass(frozen=True)
class Mistyped:
    """A command with one more option, whose value means nothing good."""

    words: tuple[str, ...]


@st.composite
def mistyped(draw: st.DrawFn) -> Mistyped:
    """Return a command with the value of an option that somebody may have typed."""
    words, option = draw(st.sampled_from(OPTIONS))
    value = draw(_values()).replace("\x00", "").encode("utf-8", "replace").decode()
    if option == "--from" and "://" in value:
        value = value.replace("://", ":")
    return Mistyped((*words, f"{option}={value}"))


def _values() -> st.SearchStrategy[str]:
    pairs = st.tuples(damage.any_text(), damage.any_text()).map("=".join)
    known = st.sampled_from(
        ("item_id={}", "model={}", "{{item_id}}_{}.png", "{{index:{}}}", "{{tile{}}}/{{item_id}}",
         "a1,{}", "a{}", "own_judge:{}", "ensemble:own_judge:Judge,{}", "base={}", "judge={}",
         "entity={}", "score={}", "item={}", "own_model:{}", "hf:./{}", "b.csv{}", "1x{}", "{}x2")
    )  # fmt: skip
    formed = st.tuples(known, damage.any_text()).map(lambda two: two[0].format(two[1]))
    numbers = st.one_of(st.integers(-(2**65), 2**65), st.floats()).map(str)
    return st.one_of(damage.any_text(), pairs, formed, numbers)


def examine_mistyped(one: Mistyped) -> None:
    """Raise where a command does anything but work, or end in one line with a code of its own."""
    place = _copy()
    run_in(place, one.words, 0)


COMMANDS: dict[str, tuple[Any, Callable[[Any], None]]] = {
    "commands on damaged runs": (broken, examine_broken),
    "mistyped options": (mistyped, examine_mistyped),
}
