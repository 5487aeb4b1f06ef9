"""Tiny networks of the real classes, for tests of what uses ella: no download, no training.

They draw blotches, but through every line of code that the real ones go through. Each weight
follows from the seed, the network's name and its own name alone: the same on every machine, in
every process and thread count, and torch's global generator is left as it was.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    FlowMatchEulerDiscreteScheduler,
    PixArtAlphaPipeline,
    PixArtTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from torch import Tensor, nn
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
)

from ella.config import ConnectorConfig, ConnectorKind
from ella.connector_base import Connector
from ella.text_encoder import T5TextEncoder
from ella.tiny_tokenizers import NUM_CLIP_TOKENS, tiny_clip_tokenizer, tiny_t5_tokenizer

WIDTH = 32
"""Width of every token: CLIP's, T5's, the connector's, the U-Net's cross-attention's."""

IMAGE_PX = 64

Network = TypeVar("Network", bound=nn.Module)


def tiny_pipeline(seed: int = 0) -> StableDiffusionPipeline:
    """A whole Stable Diffusion pipeline with DDIM, for images of `IMAGE_PX` pixels square.

    Returns:
        With CLIP, U-Net, VAE, no safety checker, and its progress bar off.
    """
    tokenizer = tiny_clip_tokenizer()
    pipeline = StableDiffusionPipeline(
        vae=_seeded("vae", _vae, seed),
        text_encoder=_seeded("clip", lambda: _clip(tokenizer), seed),
        tokenizer=tokenizer,
        unet=_seeded("unet", _unet, seed),
        scheduler=tiny_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def tiny_sdxl_pipeline(seed: int = 0) -> StableDiffusionXLPipeline:
    """A whole pipeline of SDXL's shape with DDIM: two CLIPs, pooled embeddings, sizes.

    Tokens of the U-Net are `2 * WIDTH` wide, as both CLIPs' side by side.
    """
    tokenizer = tiny_clip_tokenizer()
    pipeline = StableDiffusionXLPipeline(
        vae=_seeded("vae", _vae, seed),
        text_encoder=_seeded("clip", lambda: _clip(tokenizer), seed),
        text_encoder_2=_seeded(
            "clip2", lambda: CLIPTextModelWithProjection(_clip(tokenizer).config), seed
        ),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=_seeded("unet", _sdxl_unet, seed),
        scheduler=tiny_scheduler(),
        add_watermarker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def tiny_pixart_pipeline(seed: int = 0) -> PixArtAlphaPipeline:
    """A whole pipeline of PixArt-alpha's shape with DDIM, its tokens `2 * WIDTH` wide.

    Of no size that it has bins for: call it with `use_resolution_binning=False`.
    """
    encoder = tiny_text_encoder(seed)
    pipeline = PixArtAlphaPipeline(
        vae=_seeded("vae", _vae, seed),
        text_encoder=encoder.model,
        tokenizer=encoder.tokenizer,
        transformer=_seeded("pixart", _pixart_transformer, seed),
        scheduler=tiny_scheduler(),
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def tiny_sd3_pipeline(seed: int = 0) -> StableDiffusion3Pipeline:
    """A pipeline of Stable Diffusion 3's shape, without text encoders: only ELLA can tell it."""
    pipeline = StableDiffusion3Pipeline(
        vae=_seeded("vae", _vae, seed),
        transformer=_seeded("sd3", _sd3_transformer, seed),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        **dict.fromkeys(("text_encoder", "text_encoder_2", "text_encoder_3")),
        **dict.fromkeys(("tokenizer", "tokenizer_2", "tokenizer_3")),
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def tiny_text_encoder(seed: int = 0) -> T5TextEncoder:
    """T5's encoder and tokenizer, in float32, with `WIDTH` features."""
    tokenizer = tiny_t5_tokenizer()
    return T5TextEncoder(_seeded("t5", lambda: _t5(tokenizer), seed), tokenizer)


def tiny_connector(
    seed: int = 0,
    *,
    kind: ConnectorKind = "adaln",
    width: int = WIDTH,
    input_dim: int = WIDTH,
    pooled_width: int = 0,
) -> Connector:
    """A connector to 8 tokens; by default of the released kind, moving with time."""
    config = ConnectorConfig(
        time_channel=32,
        time_embed_dim=32,
        width=width,
        layers=2,
        heads=4,
        num_latents=8,
        input_dim=input_dim,
        kind=kind,
        pooled_width=pooled_width,
    )
    return _seeded("connector", lambda: Connector.of(config), seed)


def tiny_scheduler() -> DDIMScheduler:
    """DDIM as Stable Diffusion 1.5 configures it."""
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


def _unet() -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=IMAGE_PX // 8,
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=WIDTH,
        attention_head_dim=4,
        norm_num_groups=8,
    )


def _sdxl_unet() -> UNet2DConditionModel:
    size_channels = 8
    return UNet2DConditionModel(
        sample_size=IMAGE_PX // 8,
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=2 * WIDTH,
        attention_head_dim=4,
        norm_num_groups=8,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=size_channels,
        projection_class_embeddings_input_dim=WIDTH + 6 * size_channels,
    )


def _pixart_transformer() -> PixArtTransformer2DModel:
    return PixArtTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=12,
        num_layers=2,
        cross_attention_dim=24,
        sample_size=IMAGE_PX // 8,
        caption_channels=2 * WIDTH,
    )


def _sd3_transformer() -> SD3Transformer2DModel:
    return SD3Transformer2DModel(
        sample_size=IMAGE_PX // 8,
        in_channels=4,
        out_channels=4,
        num_layers=2,
        attention_head_dim=12,
        num_attention_heads=2,
        joint_attention_dim=2 * WIDTH,
        caption_projection_dim=24,
        pooled_projection_dim=WIDTH,
        pos_embed_max_size=IMAGE_PX // 8,
    )


def _vae() -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(8, 8, 16, 16),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=IMAGE_PX,
    )


def _clip(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=WIDTH,
            intermediate_size=2 * WIDTH,
            projection_dim=WIDTH,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=NUM_CLIP_TOKENS,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def _t5(tokenizer: T5Tokenizer) -> T5EncoderModel:
    return T5EncoderModel(
        T5Config(
            vocab_size=len(tokenizer),
            d_model=WIDTH,
            d_kv=8,
            d_ff=2 * WIDTH,
            num_layers=2,
            num_heads=4,
            feed_forward_proj="gated-gelu",
        )
    )


def _seeded(name: str, build: Callable[[], Network], seed: int) -> Network:
    """What `build` makes, in evaluation mode, its weights drawn from `seed` and their names."""
    with torch.random.fork_rng(devices=[]):
        network = build()
    with torch.no_grad():
        for key, parameter in network.named_parameters():
            parameter.copy_(_weight(f"{name}.{key}", tuple(parameter.shape), seed))
    return network.eval()


def _weight(name: str, shape: tuple[int, ...], seed: int) -> Tensor:
    """A norm's gain near 1, a bias near 0, anything else of variance 1 / (numbers read)."""
    noise = np.random.default_rng([seed, zlib.crc32(name.encode())]).standard_normal(
        shape, dtype=np.float32
    )
    if len(shape) > 1:
        return torch.from_numpy(noise / math.sqrt(math.prod(shape[1:])))
    around = 1.0 if name.endswith("weight") else 0.0
    return torch.from_numpy(np.asarray(around + 0.1 * noise, dtype=np.float32))
