"""The one way from a judge's name and options to a judge: checked, on a device, loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dpgbench.backends.device import check_dtype, find_device
from dpgbench.backends.entries import JudgeEntry
from dpgbench.backends.import_class import import_target
from dpgbench.backends.judges.own_class import OwnJudge, own_judge
from dpgbench.backends.judges.table import DECODINGS, DEFAULT_JUDGE, WEIGHTS_SOURCES, find_judge
from dpgbench.backends.protocols import BEAM, REFERENCE_DTYPE, Judge, JudgeRequest
from dpgbench.errors import UsageError

_COUNTS = ("max_requests", "questions_per_request", "concurrency")
_PRICES, _HIGHEST_PRICE = ("price_in", "price_out"), 1e9


def check_request(request: JudgeRequest) -> JudgeEntry:
    """Return the entry of the judge that is asked for.

    Raises:
        UsageError: unknown name, option, decoding, precision or role of weights, or a number that
            cannot be right.
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
    _check_numbers(request.options)
    decode = request.options.get("decode", BEAM)
    if decode not in DECODINGS:
        raise UsageError(f"--decode {decode}: choose one of {', '.join(DECODINGS)}")
    _check_weights_source(request)
    return entry


def _check_numbers(options: Mapping[str, Any]) -> None:
    """Raise where an option that counts, or is a price, cannot be right.

    Raises:
        UsageError: it says which, and what it may be.
    """
    for name, value in options.items():
        flag = f"--{name.replace('_', '-')} {value}"
        if name in _COUNTS and value is not None and int(value) < 1:
            raise UsageError(f"{flag}: give 1 or more")
        if name in _PRICES and value is not None and not 0 <= value < _HIGHEST_PRICE:
            raise UsageError(f"{flag}: give dollars for a million tokens")


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
    elsewhere: bool = False,
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
        elsewhere: it is built on other machines, where its device is looked for.
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
    entry = check_request(request)
    return request if elsewhere else on_found_device(request, entry)


def judge_class(name: str) -> type[Judge]:
    """Return the class of the judge that `name` stands for; `OwnJudge` for one of another shape.

    Raises:
        UsageError: nothing answers to the name.
    """
    cls = import_target(find_judge(name).target, "judge")
    return cls if isinstance(cls, type) and issubclass(cls, Judge) else OwnJudge


def load_judge(request: JudgeRequest) -> Judge:
    """Return the judge that `request` asks for, ready to answer.

    Raises:
        UsageError: unknown name or option, or a class that cannot be imported.
        SetupError: weights are missing or not what they must be.
    """
    entry = check_request(request)
    cls = import_target(entry.target, "judge")
    chosen = replace(on_found_device(request, entry), options={**entry.options, **request.options})
    if entry.is_own:
        return own_judge(entry.target, cls, chosen)
    judge: Judge = cls(chosen)
    return judge
