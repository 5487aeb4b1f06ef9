"""The table of judges: which there are, and what each needs and takes."""

from __future__ import annotations

from dataclasses import replace

from dpgbench.backends.device import DTYPES
from dpgbench.backends.entries import (
    EmbeddedWeights,
    HuggingFace,
    JudgeEntry,
    ModelScope,
    Role,
    argument_of,
)
from dpgbench.backends.import_class import is_own_class
from dpgbench.backends.protocols import BEAM
from dpgbench.errors import UsageError, unknown_name

REPLAY = "replay"
DEFAULT_JUDGE = "mplug"
DECODINGS = (BEAM, "first-token")
WEIGHTS_SOURCES = (ModelScope.choice, HuggingFace.choice)
_MPLUG = "dpgbench.backends.judges.mplug:MplugJudge"
_MPLUG_OPTIONS = {"decode": BEAM, "compile": False}
_MPLUG_FOLDER = "a folder in ModelScope's layout (configuration.json, pytorch_model.bin)"
_MPLUG_FILES = ("config.yaml", "vocab.txt", "pytorch_model.bin")
_MPLUG_MORE_FILES = ("configuration.json", "config_bert.json")

JUDGES: dict[str, JudgeEntry] = {
    entry.name: entry
    for entry in (
        JudgeEntry(
            "mplug",
            "mPLUG-large VQA, the benchmark's own judge, native; beam search",
            _MPLUG,
            roles=(
                Role(
                    "judge",
                    ModelScope(
                        "iic/mplug_visual-question-answering_coco_large_en",
                        "judges/mplug",
                        required=(*_MPLUG_MORE_FILES, *_MPLUG_FILES),
                    ),
                    _MPLUG_FOLDER,
                    HuggingFace(
                        "diffusion-bench/mplug_visual-question-answering_coco_large_en",
                        required=_MPLUG_FILES,
                        files=(*_MPLUG_FILES, *_MPLUG_MORE_FILES),
                        size="about 3 GB",
                    ),
                ),
            ),
            options={**_MPLUG_OPTIONS, "weights_source": None},
        ),
        JudgeEntry(
            "tiny-mplug",
            "embedded: mplug in miniature, trained on the small world: sees 64 px shapes",
            _MPLUG,
            roles=(Role("judge", EmbeddedWeights("mplug"), "a folder in ModelScope's layout"),),
            world="shapes",
            options=_MPLUG_OPTIONS,
        ),
    )
}
FAMILIES: dict[str, JudgeEntry] = {
    entry.name: entry
    for entry in (
        JudgeEntry(
            "hf:",
            "hf:REPO or hf:FOLDER: a vision language model of transformers",
            "dpgbench.backends.judges.hf.judge:HfJudge",
        ),
        JudgeEntry(
            "openai:",
            "openai:MODEL: an OpenAI-compatible server",
            "dpgbench.backends.judges.openai.judge:OpenAiJudge",
            options={
                "base_url": None,
                "max_requests": None,
                "questions_per_request": 1,
                "concurrency": 8,
                "price_in": None,
                "price_out": None,
            },
            on_device=False,
        ),
        JudgeEntry(
            "ensemble:",
            "ensemble:A,B,C: the majority of several judges' answers",
            "dpgbench.backends.judges.ensemble:EnsembleJudge",
            lists_judges=True,
        ),
    )
}
FORMS = {
    **{entry.summary.partition(":")[0]: entry.summary for entry in FAMILIES.values()},
    "package.module:Class": "a class of your own; see docs/judges.md",
}


def find_judge(name: str) -> JudgeEntry:
    """Return the entry that `name` stands for.

    Raises:
        UsageError: nothing answers to it; near names are offered.
    """
    if name in JUDGES:
        return JUDGES[name]
    if family := find_family(name):
        return replace(family, name=name, world=_world_of(family, name))
    base, _, variant = name.partition(":")
    if base in JUDGES:
        flag = "--dtype" if variant in DTYPES else "--decode"
        raise UsageError(
            f"'{name}' is how results call {base} with {flag} {variant}; "
            f"write --judge {base} {flag} {variant}"
        )
    if is_own_class(name):
        return JudgeEntry(name, "a class of your own", name, is_own=True)
    raise unknown_name("judge", name, [*JUDGES, *FORMS], listing="dpgbench judges")


def find_family(name: str) -> JudgeEntry | None:
    """Return the family whose name ``FAMILY:...`` begins with; None where it is of none."""
    prefix, colon, argument = name.partition(":")
    return FAMILIES.get(prefix + colon) if argument else None


def _world_of(family: JudgeEntry, name: str) -> str | None:
    """Return the world of the judges that a name lists: the first that any of them is bound to."""
    members = argument_of(name).split(",") if family.lists_judges else []
    entries = [JUDGES[member.strip()] for member in members if member.strip() in JUDGES]
    return next((entry.world for entry in entries if entry.world), None)
