"""`torch.compile` for what a pipeline spends its time on: the denoiser, and the VAE's decoder."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

from dpgbench.errors import SetupError, reason_of

_COMPILERS = ("g++", "clang++", "c++")
_COMPILING = ("torch._dynamo", "torch._inductor", "triton")


def check_compiler(device: str) -> None:
    """Raise where networks cannot be compiled on a device.

    Raises:
        SetupError: there is no compiler.
    """
    if device.startswith("cuda") and find_spec("triton") is None:
        raise SetupError(
            "--compile: torch compiles for a GPU with triton, which is not installed: pip install "
            "triton (the release that belongs to the installed torch), or leave --compile out"
        )
    named = os.environ.get("CXX")
    if not any(shutil.which(name) for name in ([named] if named else _COMPILERS)):
        looked = f"CXX={named} is none" if named else "none is on the PATH"
        raise SetupError(
            f"--compile needs a C++ compiler, and {looked}: install one (Debian and Ubuntu: apt "
            "install g++), or leave --compile out"
        )


def compile_pipeline(pipeline: Any, *, same_shapes: bool) -> None:
    """Have a pipeline's denoiser and its VAE's decoder compiled when they are first called.

    Convolutions are laid out channels last, which is what compiled ones are fast in.

    Args:
        pipeline: of diffusers; its networks are changed in place.
        same_shapes: every call has the same shapes: compiled for these alone.
    """
    import torch
    from diffusers import AutoencoderKL, UNet2DConditionModel

    denoiser = getattr(pipeline, "transformer", None) or pipeline.unet
    for network in (denoiser, pipeline.vae):
        if isinstance(network, AutoencoderKL | UNet2DConditionModel):
            network.to(memory_format=torch.channels_last)
    dynamic = False if same_shapes else None
    denoiser.compile(dynamic=dynamic)
    pipeline.vae.decoder.compile(dynamic=dynamic)


@contextlib.contextmanager
def compiling() -> Iterator[None]:
    """Turn what a compiler raises in the first call of a network into one line.

    Raises:
        SetupError: it is not about an item, and the next one would fail alike.
    """
    try:
        yield
    except Exception as error:
        kinds = (type(error), *type(error).__mro__)
        if not any(kind.__module__.startswith(_COMPILING) for kind in kinds):
            raise
        raise SetupError(
            f"--compile: {reason_of(error, first_line=True, limit=200)}; leave --compile out to "
            "draw without"
        ) from error
