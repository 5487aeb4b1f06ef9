"""What a manifest says about a run, drawn out for readers: seeds, hashes, truncation, settings.

A manifest is a record for people whose parts differ from model to model; whatever is absent
here is left out, never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from dpgbench.domain.benchmark import OriginalBenchmark
from dpgbench.domain.spec import identity_hash
from dpgbench.store.run.manifest import Manifest

MEANINGLESS = "scores mean nothing"
_SHOWN_SETTINGS = (
    "steps",
    "guidance_scale",
    "scheduler",
    "negative_prompt",
    "dtype",
    "options",
)
_DECODING = ("decode", "decoding")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class TruncatedPrompts(NamedTuple):
    """How many of a run's prompts were longer than the text encoder's `limit` of tokens.

    Attributes:
        items: which; empty where the run did not record them.
    """

    limit: int
    truncated: int
    prompts: int
    items: tuple[str, ...] = ()


class AskedBenchmark(NamedTuple):
    """The prompts that were drawn and the questions that a judge was asked, by their hashes.

    Attributes:
        prompts_sha256: empty where not recorded; `questions_sha256` likewise.
        original: whose prompts were rewritten to these, if any were.
    """

    prompts_sha256: str = ""
    questions_sha256: str = ""
    original: OriginalBenchmark | None = None

    def is_rewritten_from(self, other: AskedBenchmark) -> bool:
        """Whether these prompts were made from the other's, and the questions are still its own."""
        return self.original is not None and self.original[:3] == (
            other.prompts_sha256,
            other.questions_sha256,
            self.questions_sha256,
        )


class Digest(NamedTuple):
    """A SHA-256 in a manifest, and the path of keys to it."""

    name: str
    sha256: str


def benchmark_hash(manifest: Manifest, judge: str) -> str:
    """Return 12 digits for the prompts that were drawn and the questions that `judge` was asked."""
    prompts = manifest.benchmark.get("prompts_sha256")
    return identity_hash({"prompts": prompts, "questions": manifest.questions_sha256(judge)})


def asked_benchmark(manifest: Manifest, judge: str) -> AskedBenchmark:
    """Return which prompts were drawn, and which questions `judge` was asked."""
    about = manifest.benchmark
    origin = about.get("rewritten_from")
    return AskedBenchmark(
        about.get("prompts_sha256", ""),
        manifest.questions_sha256(judge) or "",
        OriginalBenchmark(**origin) if origin else None,
    )


def judge_hash(manifest: Manifest, judge: str) -> str:
    """Return 12 digits for a judge's weights and decoding; nothing where neither is recorded."""
    record: Mapping[str, Any] = manifest.judge(judge)
    weights: Any = digests(record.get("weights")) or record.get("weights")
    decoding = [(name, record.get(name)) for name in _DECODING]
    facts = {name: value for name, value in (("weights", weights), *decoding) if value}
    return identity_hash(facts) if facts else ""


def digests(value: object, name: str = "") -> list[Digest]:
    """Return every SHA-256 in nested plain data, sorted by name; paths and sizes are left out."""
    if isinstance(value, str):
        return [Digest(name, value)] if _SHA256.fullmatch(value) else []
    if not isinstance(value, Mapping):
        return []
    inner: list[Digest] = []
    for key in sorted(value, key=str):
        inner += digests(value[key], name if key == "sha256" else f"{name}/{key}".lstrip("/"))
    return inner


def _find_field(value: object, name: str) -> Any:
    """Return the first field called `name` in nested plain data, the outermost first; or None."""
    level = [value]
    while level:
        mappings = [part for part in level if isinstance(part, Mapping)]
        for part in mappings:
            if part.get(name) is not None:
                return part[name]
        level = [inner for part in mappings for inner in part.values()]
    return None


def seed_rule(manifest: Manifest) -> str:
    """Return the name of the rule that the seeds came from, or nothing for images of others."""
    return str(_find_field(manifest.identity, "seed_rule") or "")


def base_seed(manifest: Manifest) -> int | None:
    """Return the number that the seeds count from."""
    value = _find_field(manifest.identity, "base_seed")
    return value if isinstance(value, int) else None


def image_size(manifest: Manifest) -> str:
    """Return the size of one image as ``512x512``, or nothing where it is not recorded."""
    for width, height in (("width_px", "height_px"), ("tile_width_px", "tile_height_px")):
        sides = [_find_field(manifest.identity, name) for name in (width, height)]
        if all(isinstance(side, int) for side in sides):
            return f"{sides[0]}x{sides[1]}"
    return ""


def truncation(manifest: Manifest) -> TruncatedPrompts | None:
    """Return how many prompts the text encoder cut; None where it has no limit."""
    record = manifest.generation.get("truncation", {})
    limit = record.get("limit")
    if limit is None:
        return None
    number, prompts = record.get("truncated", 0), record.get("prompts", 0)
    return TruncatedPrompts(limit, number, prompts, tuple(record.get("items") or ()))


def reads_all(manifest: Manifest) -> bool | None:
    """Return whether the text encoder saw every prompt whole; None where it is not recorded."""
    record = manifest.generation.get("truncation")
    return None if record is None else not record.get("truncated", 0)


def parameters(manifest: Manifest) -> Mapping[str, int]:
    """Return how many parameters each of the model's networks has; nothing if not recorded."""
    return manifest.generation.get("parameters", {})


def licence(manifest: Manifest) -> str:
    """Return the licence of the model's weights, or nothing where it is not recorded."""
    return manifest.generation.get("licence", "")


def releases(manifest: Manifest, judge: str) -> str:
    """Return the releases of the libraries that a judge ran with, or nothing if not recorded."""
    by_name = manifest.judge(judge).get("releases", {})
    return ", ".join(f"{name} {by_name[name]}" for name in sorted(by_name) if by_name[name])


def truncated_questions(manifest: Manifest, judge: str) -> int:
    """Return how many questions were too long for the judge."""
    return manifest.judge(judge).get("truncated_questions", 0)


def generation_settings(manifest: Manifest) -> list[tuple[str, str]]:
    """Return the settings that images were drawn with, as (name, value) for people."""
    settings = ((name, _find_field(manifest.identity, name)) for name in _SHOWN_SETTINGS)
    return [(name, _plain(value)) for name, value in settings if value not in (None, "", {})]


def _plain(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_plain(value[key])}" for key in sorted(value, key=str))
    return str(value)
