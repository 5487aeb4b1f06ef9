"""The table of judges."""

from __future__ import annotations

from typing import Any

from dpgbench.backends.base import (
    Judge,
    JudgeEntry,
    JudgeRequest,
    Role,
    import_target,
    is_own_class,
)
from dpgbench.errors import unknown_name

REPLAY = "replay"
DEFAULT_JUDGE = "mplug"
MPLUG_MODEL = "iic/mplug_visual-question-answering_coco_large_en"

JUDGES: dict[str, JudgeEntry] = {
    entry.name: entry
    for entry in (
        JudgeEntry(
            "mplug",
            "mPLUG-large VQA, the benchmark's own judge, native; beam search",
            "dpgbench.backends.mplug_judge:MplugJudge",
            (
                Role(
                    "judge",
                    f"ModelScope {MPLUG_MODEL}",
                    "a folder in ModelScope's layout (configuration.json, pytorch_model.bin)",
                ),
            ),
        ),
        JudgeEntry(
            "tiny-mplug",
            "the same network in miniature with seeded random weights",
            "dpgbench.backends.mplug_judge:TinyMplugJudge",
            untrained=True,
        ),
    )
}
FORMS = {"package.module:Class": "a class of your own; see docs/judges.md"}


def find_judge(name: str) -> JudgeEntry:
    """Return the entry that `name` stands for.

    Raises:
        UsageError: nothing answers to it; near names are offered.
    """
    if name in JUDGES:
        return JUDGES[name]
    if is_own_class(name):
        return JudgeEntry(name, "a class of your own", name)
    raise unknown_name("judge", name, [*JUDGES, *FORMS], listing="dpgbench judges")


def load_judge(request: JudgeRequest) -> Judge:
    """Return the judge that `request` asks for, ready to answer.

    Raises:
        UsageError: unknown name, or a class that cannot be imported.
        SetupError: weights are missing or not what they must be.
    """
    entry = find_judge(request.name)
    judge: Any = import_target(entry.target, "judge")
    loaded: Judge = judge(request)
    return loaded
