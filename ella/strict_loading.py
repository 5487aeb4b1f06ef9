"""Networks loaded whole: a tensor that a file lacks is an error, never a random one.

transformers and diffusers give a network random numbers where a file lacks a tensor, and say so in
a log that is often silenced. Here their own reports are read.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from diffusers import ModelMixin
from transformers import PreTrainedModel

from ella.errors import IncompleteWeightsError, first_names


@dataclass(frozen=True)
class LoadingReport:
    """What loading one network found.

    Attributes:
        network: its class's name.
        missing: tensors that the files lack, or have in another shape.
        unexpected: tensors of the files that the network has not.
    """

    network: str
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]


@contextlib.contextmanager
def strict_loading(what: str) -> Iterator[list[LoadingReport]]:
    """Load networks by ``from_pretrained`` within: each must find all of its tensors.

    Covers every network of transformers and diffusers, also those that a pipeline loads.

    Args:
        what: What is loaded, for the message: a model's name or a folder.

    Yields:
        The reports so far, one for each network loaded.

    Raises:
        IncompleteWeightsError: If a tensor is missing or of another shape.
    """
    reports: list[LoadingReport] = []
    with contextlib.ExitStack() as stack:
        for base in (ModelMixin, PreTrainedModel):
            stack.enter_context(_reporting(base, what, reports))
        yield reports


@contextlib.contextmanager
def _reporting(base: Any, what: str, reports: list[LoadingReport]) -> Iterator[None]:
    original = base.__dict__["from_pretrained"]
    load: Callable[..., Any] = original.__func__

    def from_pretrained(cls: Any, *args: Any, **kwargs: Any) -> Any:
        wants_report = kwargs.pop("output_loading_info", False)
        model, info = load(cls, *args, output_loading_info=True, **kwargs)
        report = _read(type(model).__name__, info)
        reports.append(report)
        if report.missing:
            raise IncompleteWeightsError(
                f"{what}: the files of {report.network} lack {len(report.missing)} of its tensors,"
                f" or have them in another shape ({first_names(report.missing)}); random numbers"
                " would stand for them: fetch the files again, or take those that belong to"
                " config.json"
            )
        return (model, info) if wants_report else model

    base.from_pretrained = classmethod(from_pretrained)
    try:
        yield
    finally:
        base.from_pretrained = original


def _read(network: str, info: Any) -> LoadingReport:
    mismatched = [key if isinstance(key, str) else key[0] for key in info["mismatched_keys"]]
    return LoadingReport(
        network,
        tuple(sorted({*info["missing_keys"], *mismatched})),
        tuple(sorted(info["unexpected_keys"])),
    )
