"""The networks that a connector can be trained for: how each is asked, and how wide its tokens are.

A denoiser is the seam between the loop and a model: noisy latents, timesteps, the connector's
tokens and what else the network wants in; its prediction out. A new kind of network is a class
here and a line in `DENOISERS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor


class Condition(NamedTuple):
    """What stands for the text.

    Attributes:
        tokens: `[B, n, width]`.
        pooled: `[B, pooled_width]`; None of a connector that pools nothing.
    """

    tokens: Tensor
    pooled: Tensor | None = None


class Sizes(NamedTuple):
    """Of a batch's pictures, in pixels, height before width: SDXL and PixArt are told them.

    Attributes:
        original: `[B, 2]`, before cropping.
        crop: `[B, 2]`, the upper left corner.
        target: `[B, 2]`, as the latents are.
    """

    original: Tensor
    crop: Tensor
    target: Tensor


@dataclass(frozen=True)
class Denoiser:
    """A frozen network with what it needs to be asked.

    Attributes:
        network: A U-Net or a transformer of diffusers.
        width: Of the tokens that it takes.
        pooled_width: Of the pooled embedding that it takes; 0: it takes none.
        sample_size: Side of its latents, as its configuration says.
    """

    network: Any
    width: int
    pooled_width: int
    sample_size: Any

    part: ClassVar[str] = "unet"
    """Its name in a pipeline and its folder."""
    vae_in_float32: ClassVar[bool] = False
    """Whether float16 is too narrow for the VAE that such models have."""

    def predict(
        self, noisy: Tensor, timesteps: Tensor, condition: Condition, sizes: Sizes
    ) -> Tensor:
        """The network's answer `[B, C, h, w]`.

        Args:
            noisy: `[B, C, h, w]`.
            timesteps: `[B]`.
            condition: The text.
            sizes: Of the pictures.
        """
        raise NotImplementedError

    @property
    def in_channels(self) -> int:
        """Channels of the latents."""
        return int(self.network.config.in_channels)


@dataclass(frozen=True)
class UNetDenoiser(Denoiser):
    """Stable Diffusion 1.x and 2.x: a U-Net told by cross-attention alone."""

    def predict(
        self, noisy: Tensor, timesteps: Tensor, condition: Condition, sizes: Sizes
    ) -> Tensor:
        """The network's answer."""
        answer: Tensor = self.network(
            noisy, timesteps, encoder_hidden_states=condition.tokens, return_dict=False
        )[0]
        return answer


@dataclass(frozen=True)
class SdxlDenoiser(Denoiser):
    """SDXL: its U-Net takes a pooled embedding besides, and the picture's sizes and crop."""

    vae_in_float32: ClassVar[bool] = True

    def predict(
        self, noisy: Tensor, timesteps: Tensor, condition: Condition, sizes: Sizes
    ) -> Tensor:
        """The network's answer."""
        time_ids = torch.cat([sizes.original, sizes.crop, sizes.target], dim=1).to(noisy)
        answer: Tensor = self.network(
            noisy,
            timesteps,
            encoder_hidden_states=condition.tokens,
            added_cond_kwargs={"text_embeds": condition.pooled, "time_ids": time_ids},
            return_dict=False,
        )[0]
        return answer


@dataclass(frozen=True)
class PixArtDenoiser(Denoiser):
    """PixArt-alpha and -sigma: a transformer told by cross-attention, with a mask.

    The 1024 px PixArt-alpha is told the picture's height, width and their ratio besides. It answers
    noise and a variance; the variance has no part in training, as in drawing.
    """

    part: ClassVar[str] = "transformer"

    def predict(
        self, noisy: Tensor, timesteps: Tensor, condition: Condition, sizes: Sizes
    ) -> Tensor:
        """The network's answer."""
        more: dict[str, Tensor | None] = {"resolution": None, "aspect_ratio": None}
        if self.network.use_additional_conditions:
            ratio = sizes.target[:, :1] / sizes.target[:, 1:]
            more = {"resolution": sizes.target.to(noisy), "aspect_ratio": ratio.to(noisy)}
        answer: Tensor = self.network(
            noisy,
            encoder_hidden_states=condition.tokens,
            encoder_attention_mask=condition.tokens.new_ones(condition.tokens.shape[:2]),
            timestep=timesteps,
            added_cond_kwargs=more,
            return_dict=False,
        )[0]
        return answer[:, : noisy.shape[1]]


@dataclass(frozen=True)
class Sd3Denoiser(Denoiser):
    """Stable Diffusion 3 and 3.5: a transformer that reads tokens and latents side by side."""

    part: ClassVar[str] = "transformer"

    def predict(
        self, noisy: Tensor, timesteps: Tensor, condition: Condition, sizes: Sizes
    ) -> Tensor:
        """The network's answer."""
        answer: Tensor = self.network(
            hidden_states=noisy,
            timestep=timesteps,
            encoder_hidden_states=condition.tokens,
            pooled_projections=condition.pooled,
            return_dict=False,
        )[0]
        return answer


_OTHER_CONDITIONS = ("class_embed_type", "encoder_hid_dim_type")


def _of_unet(unet: Any) -> Denoiser:
    config = unet.config
    width, sample_size = config.cross_attention_dim, config.sample_size
    if isinstance(width, list | tuple) and len(set(width)) == 1:
        width = width[0]
    if not isinstance(width, int):
        raise ValueError(
            f"`pipeline.unet.config.cross_attention_dim` must be one number, got {width!r}"
        )
    for name in _OTHER_CONDITIONS:
        if config.get(name) is not None:
            raise _wants_more(name, config.get(name))
    added = config.get("addition_embed_type")
    if added is None:
        return UNetDenoiser(unet, width, 0, sample_size)
    sizes = config.get("addition_time_embed_dim")
    pooled = (config.get("projection_class_embeddings_input_dim") or 0) - 6 * (sizes or 0)
    if added != "text_time" or not sizes or pooled < 1:
        raise _wants_more("addition_embed_type", added)
    return SdxlDenoiser(unet, width, pooled, sample_size)


def _wants_more(name: str, value: Any) -> ValueError:
    return ValueError(
        f"`pipeline.unet` wants more than text tokens ({name}: {value!r}); U-Nets told by"
        " cross-attention alone can be trained for, such as SD 1.x's, and SDXL's"
    )


def _of_pixart(transformer: Any) -> Denoiser:
    config = transformer.config
    return PixArtDenoiser(transformer, config.caption_channels, 0, config.sample_size)


def _of_stable_diffusion_3(transformer: Any) -> Denoiser:
    config = transformer.config
    return Sd3Denoiser(
        transformer, config.joint_attention_dim, config.pooled_projection_dim, config.sample_size
    )


DENOISERS: dict[str, Callable[[Any], Denoiser]] = {
    "UNet2DConditionModel": _of_unet,
    "PixArtTransformer2DModel": _of_pixart,
    "SD3Transformer2DModel": _of_stable_diffusion_3,
}
"""Classes of networks, as diffusers calls them."""


def denoiser_of(pipeline: Any) -> Denoiser:
    """The denoiser of a pipeline, or of anything with `unet` or `transformer`.

    Raises:
        ValueError: If its network is of no class in the table, or wants more than is given here.
    """
    network = getattr(pipeline, "unet", None)
    if network is None:
        network = getattr(pipeline, "transformer", None)
    name = type(network).__name__
    if name not in DENOISERS:
        raise ValueError(
            f"`pipeline` has a denoiser of the class {name}; a connector can be trained for"
            f" {', '.join(DENOISERS)}"
        )
    return DENOISERS[name](network)


def sizes_of(latents: Tensor, downscale: int, read: Tensor | None = None) -> Sizes:
    """Sizes of a batch's pictures.

    Args:
        latents: Theirs, which say what they were cut to.
        downscale: Of the VAE.
        read: `[B, 4]` as in `Batch.sizes`, on any device; None, or zeros for a picture whose size
            nobody knows, is a picture that was whole, as those are that are drawn later.
    """
    height, width = (side * downscale for side in latents.shape[-2:])
    target = torch.tensor([[height, width]], dtype=torch.float32).expand(len(latents), 2)
    target = target.to(latents.device, non_blocking=True)
    if read is None:
        return Sizes(target, torch.zeros_like(target), target)
    own = read.to(latents.device, torch.float32, non_blocking=True)
    original, crop = own.split(2, dim=1)
    return Sizes(torch.where(original > 0, original, target), crop, target)
