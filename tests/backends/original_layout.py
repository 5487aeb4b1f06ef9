"""Stable Diffusion in one file, as fine-tuned checkpoints are passed on, from a diffusers pipeline.

diffusers translates names from the original layout to its own and not back. Each plausible original
name is given a number of its own; where diffusers' own translation puts it, is its new name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers.loaders.single_file_utils import (
    convert_ldm_unet_checkpoint,
    convert_ldm_vae_checkpoint,
)
from safetensors.torch import save_file

_RESNET = ("in_layers.0", "in_layers.2", "emb_layers.1", "out_layers.0", "out_layers.3")
_NORMS_AND_CONVS = ("norm1", "conv1", "norm2", "conv2", "nin_shortcut")
_TRANSFORMER = (
    *(
        f"{attention}.{part}"
        for attention in ("attn1", "attn2")
        for part in ("to_q", "to_k", "to_v", "to_out.0")
    ),
    *(f"norm{n}" for n in (1, 2, 3)),
    "ff.net.0.proj",
    "ff.net.2",
)


def _unet_names() -> list[str]:
    """Names of a U-Net of two resolutions with one layer each, attention in the lower one."""
    resnet = [*_RESNET, "skip_connection"]
    attention = ["norm", "proj_in", "proj_out"]
    attention += [f"transformer_blocks.0.{name}" for name in _TRANSFORMER]
    names = ["time_embed.0", "time_embed.2", "input_blocks.0.0", "out.0", "out.2"]
    names += [f"input_blocks.1.0.{name}" for name in resnet] + ["input_blocks.2.0.op"]
    names += [f"input_blocks.3.0.{name}" for name in resnet]
    names += [f"input_blocks.3.1.{name}" for name in attention]
    names += [f"middle_block.{n}.{name}" for n in (0, 2) for name in resnet]
    names += [f"middle_block.1.{name}" for name in attention]
    for block in range(4):
        names += [f"output_blocks.{block}.0.{name}" for name in resnet]
    for block in (0, 1):
        names += [f"output_blocks.{block}.1.{name}" for name in attention]
    return [*names, "output_blocks.1.2.conv"]


def _vae_names() -> list[str]:
    """Names of a VAE of four resolutions with one layer each way down and two each way up."""
    names = ["quant_conv", "post_quant_conv"]
    for side, deep in (("encoder", ("down", 1)), ("decoder", ("up", 2))):
        names += [f"{side}.{name}" for name in ("conv_in", "conv_out", "norm_out")]
        for level in range(4):
            names += [
                f"{side}.{deep[0]}.{level}.block.{block}.{name}"
                for block in range(deep[1])
                for name in _NORMS_AND_CONVS
            ]
        names += [f"{side}.mid.block_{n}.{name}" for n in (1, 2) for name in _NORMS_AND_CONVS]
        names += [f"{side}.mid.attn_1.{name}" for name in ("norm", "q", "k", "v", "proj_out")]
    names += [f"encoder.down.{level}.downsample.conv" for level in range(3)]
    return names + [f"decoder.up.{level}.upsample.conv" for level in range(1, 4)]


def _translated(names: list[str], prefix: str, convert: Any, config: Any) -> dict[str, str]:
    """Return the original name of each of diffusers' names."""
    full = [f"{prefix}{name}.{kind}" for name in names for kind in ("weight", "bias")]
    marked = {name: torch.full((1, 1, 1, 1), float(n)) for n, name in enumerate(full)}
    return {new: full[int(mark.flatten()[0])] for new, mark in convert(marked, config).items()}


def write_single_file(pipeline: Any, path: Path) -> Path:
    """Write a Stable Diffusion 1.x pipeline's tensors under their original names."""
    tensors = {}
    unet_names = _translated(
        _unet_names(), "model.diffusion_model.", convert_ldm_unet_checkpoint, pipeline.unet.config
    )
    for name, tensor in pipeline.unet.state_dict().items():
        tensors[unet_names[name]] = tensor
    vae_names = _translated(
        _vae_names(), "first_stage_model.", convert_ldm_vae_checkpoint, pipeline.vae.config
    )
    for name, tensor in pipeline.vae.state_dict().items():
        is_projection = ".attentions." in name and tensor.ndim == 2
        tensors[vae_names[name]] = tensor[:, :, None, None] if is_projection else tensor
    for name, tensor in pipeline.text_encoder.state_dict().items():
        original = name if name.startswith("text_model.") else f"text_model.{name}"
        tensors[f"cond_stage_model.transformer.{original}"] = tensor
    save_file({name: tensor.contiguous().clone() for name, tensor in tensors.items()}, path)
    return path
