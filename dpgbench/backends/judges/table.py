"""The table of judges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from dpgbench.backends.device import DTYPES, check_dtype, find_device
from dpgbench.backends.import_class import import_target, is_own_class
from dpgbench.backends.judges.answer_checks import own_judge
from dpgbench.backends.protocols import (
    BEAM,
    REFERENCE_DTYPE,
    Judge,
    JudgeEntry,
    JudgeRequest,
    Role,
    StreamingJudge,
)
from dpgbench.errors import DataError, UsageError, unknown_name
from dpgbench.store.files import read_json
from dpgbench.store.paths import cache_folder
from dpgbench.store.run.directory import file_name, old_file_name

REPLAY = "replay"
DEFAULT_JUDGE = "mplug"
MPLUG_MODEL = "iic/mplug_visual-question-answering_coco_large_en"

MPLUG_REPOSITORY = "diffusion-bench/mplug_visual-question-answering_coco_large_en"

DECODINGS = (BEAM, "first-token")
WEIGHTS_SOURCES = ("modelscope", "hf")
_MPLUG_OPTIONS = {"decode": BEAM, "compile": False}

JUDGES: dict[str, JudgeEntry] = {
    entry.name: entry
    for entry in (
        JudgeEntry(
            "mplug",
            "mPLUG-large VQA, the benchmark's own judge, native; beam search",
            "dpgbench.backends.judges.mplug:MplugJudge",
            roles=(
                Role(
                    "judge",
                    f"ModelScope {MPLUG_MODEL}, or with --weights-source hf Hugging Face "
                    f"{MPLUG_REPOSITORY}",
                    "a folder in ModelScope's layout (configuration.json, pytorch_model.bin)",
                ),
            ),
            options={**_MPLUG_OPTIONS, "weights_source": None},
        ),
        JudgeEntry(
            "tiny-mplug",
            "embedded: mplug in miniature, trained on the small world: sees 64 px shapes",
            "dpgbench.backends.judges.mplug:MplugJudge",
            roles=(
                Role("judge", "ships with the toolkit", "a folder in ModelScope's layout", "mplug"),
            ),
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
    for prefix, family in FAMILIES.items():
        if name.startswith(prefix) and name != prefix:
            members = name.removeprefix(prefix).split(",") if prefix == "ensemble:" else []
            known = [JUDGES[m.strip()] for m in members if m.strip() in JUDGES]
            world = next((member.world for member in known if member.world), None)
            return replace(family, name=name, world=world)
    base, _, variant = name.partition(":")
    if base in JUDGES:
        flag = "--dtype" if variant in DTYPES else "--decode"
        raise UsageError(
            f"'{name}' is how results call {base} with {flag} {variant}; "
            f"write --judge {base} {flag} {variant}"
        )
    if is_own_class(name):
        return JudgeEntry(name, "a class of your own", name)
    raise unknown_name("judge", name, [*JUDGES, *FORMS], listing="dpgbench judges")


def mplug_folder(revision: str | None = None) -> Path:
    """Return where fetched weights of mPLUG lie in the user's cache."""
    folder = cache_folder() / "judges" / "mplug"
    new = folder / file_name(revision or "default")
    old = folder / old_file_name(revision or "default")  # of an earlier version of the toolkit
    return old if not new.exists() and _is_of_revision(old, revision) else new


def _is_of_revision(folder: Path, revision: str | None) -> bool:
    from dpgbench.backends.weights.modelscope import MARKER

    try:
        return bool(read_json(folder / MARKER)["revision"] == revision)
    except (DataError, LookupError, TypeError):
        return False


def check_request(request: JudgeRequest) -> JudgeEntry:
    """Return the entry of the judge that is asked for.

    Raises:
        UsageError: unknown name, option, decoding, precision or role of weights.
    """
    entry = find_judge(request.name)
    check_dtype(request.dtype)
    roles = [role.name for role in entry.roles]
    for role in request.weights:
        if role not in roles:
            raise UsageError(
                f"--weights {role}: {request.name} has no role '{role}'; its roles are "
                f"{', '.join(roles) or '(none)'}"
            )
    for option in request.options:
        if option not in entry.options:
            flag = "--" + option.replace("_", "-")
            raise UsageError(f"{flag} is not for judge {request.name}; see 'dpgbench judges'")
    decode = request.options.get("decode", BEAM)
    if decode not in DECODINGS:
        raise UsageError(f"--decode {decode}: choose one of {', '.join(DECODINGS)}")
    _check_weights_source(request)
    return entry


def _check_weights_source(request: JudgeRequest) -> None:
    """Raise where the weights' source is none that there is, or weights are given as well.

    Raises:
        UsageError: one of these.
    """
    source = request.options.get("weights_source")
    if source not in (None, *WEIGHTS_SOURCES):
        raise UsageError(f"--weights-source {source}: choose one of {', '.join(WEIGHTS_SOURCES)}")
    if source and request.weights:
        role, path = next(iter(request.weights.items()))
        raise UsageError(
            f"--weights-source {source} and --weights {role}={path}: weights are fetched or given, "
            "not both"
        )


def on_found_device(request: JudgeRequest, entry: JudgeEntry) -> JudgeRequest:
    """Return `request` with the device that it stands for on this machine.

    The command line and Python come by here alike, so that ``auto`` is one device for both.

    Raises:
        UsageError: this machine has no such device.
    """
    return replace(request, device=find_device(request.device)) if entry.on_device else request


def judge_request(
    name: str | None = None,
    *,
    weights: Mapping[str, str] | None = None,
    revision: str | None = None,
    device: str = "auto",
    dtype: str = REFERENCE_DTYPE,
    batch_size: int | None = None,
    **options: Any,
) -> JudgeRequest:
    """Return a request that has been checked, with the device that it will run on.

    The command line and Python build their requests here, so that both have the same defaults.

    Args:
        name: as in ``dpgbench judges``; None is `DEFAULT_JUDGE`.
        weights: path by role; roles left out are fetched.
        revision: of weights that are fetched; None is the entry's own.
        device: ``auto`` is CUDA, then MPS, then the CPU.
        dtype: ``float32``, ``float16`` or ``bfloat16``.
        batch_size: images at once; None leaves it to the judge.
        options: settings of one family of judges alone; None leaves one to the judge.

    Raises:
        UsageError: unknown name, option or device.
    """
    request = JudgeRequest(
        find_judge(name or DEFAULT_JUDGE).name,
        weights=weights or {},
        revision=revision,
        device=device,
        dtype=dtype,
        batch_size=batch_size,
        options={option: value for option, value in options.items() if value is not None},
    )
    return on_found_device(request, check_request(request))


def load_judge(request: JudgeRequest) -> Judge | StreamingJudge:
    """Return the judge that `request` asks for, ready to answer.

    Raises:
        UsageError: unknown name or option, or a class that cannot be imported.
        SetupError: weights are missing or not what they must be.
    """
    entry = check_request(request)
    judge: Any = import_target(entry.target, "judge")
    chosen = replace(on_found_device(request, entry), options={**entry.options, **request.options})
    if is_own_class(entry.target) and entry.name == entry.target:
        judge = partial(own_judge, entry.target, judge)
    loaded: Judge | StreamingJudge = judge(chosen)
    return loaded
