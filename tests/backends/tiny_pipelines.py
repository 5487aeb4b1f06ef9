"""Pipelines of diffusers' real classes, a few thousand weights each: they draw blotches."""

from __future__ import annotations

from typing import Any

import diffusers
import torch
import transformers

from ella import tiny
from ella.tiny_tokenizers import tiny_clip_tokenizer, tiny_t5_tokenizer
from tests.backends.tiny_vlms import CHATML, make_tokenizer

EULER = diffusers.FlowMatchEulerDiscreteScheduler


def _vae(channels: int, stages: int = 2) -> Any:
    return diffusers.AutoencoderKL(
        block_out_channels=(8,) * stages,
        down_block_types=("DownEncoderBlock2D",) * stages,
        up_block_types=("UpDecoderBlock2D",) * stages,
        latent_channels=channels,
        norm_num_groups=4,
        layers_per_block=1,
        sample_size=32,
        shift_factor=0.0,
        scaling_factor=1.0,
        use_quant_conv=False,
        use_post_quant_conv=False,
    )


def _clip(*, projected: bool = False) -> Any:
    config = tiny._clip(tiny_clip_tokenizer()).config
    kind = transformers.CLIPTextModelWithProjection if projected else transformers.CLIPTextModel
    return kind(config)


def _t5() -> Any:
    return tiny._t5(tiny_t5_tokenizer())


def flux() -> Any:
    """FLUX.1: CLIP's pooled vector, T5's tokens; distilled guidance."""
    return diffusers.FluxPipeline(
        scheduler=EULER(),
        vae=_vae(4),
        text_encoder=_clip(),
        tokenizer=tiny_clip_tokenizer(),
        text_encoder_2=_t5(),
        tokenizer_2=tiny_t5_tokenizer(),
        transformer=diffusers.FluxTransformer2DModel(
            patch_size=1,
            in_channels=16,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=32,
            pooled_projection_dim=32,
            axes_dims_rope=(4, 4, 8),
            guidance_embeds=True,
        ),
    )


def sd3(*, with_t5: bool = True) -> Any:
    """Stable Diffusion 3: two CLIPs and T5, which may be left out."""
    return diffusers.StableDiffusion3Pipeline(
        transformer=diffusers.SD3Transformer2DModel(
            sample_size=8,
            patch_size=1,
            in_channels=4,
            num_layers=1,
            attention_head_dim=8,
            num_attention_heads=4,
            joint_attention_dim=64,
            caption_projection_dim=32,
            pooled_projection_dim=64,
            out_channels=4,
        ),
        scheduler=EULER(),
        vae=_vae(4, 4),
        text_encoder=_clip(projected=True),
        tokenizer=tiny_clip_tokenizer(),
        text_encoder_2=_clip(projected=True),
        tokenizer_2=tiny_clip_tokenizer(),
        text_encoder_3=tiny._seeded("t5", lambda: _wide_t5(64), 0) if with_t5 else None,
        tokenizer_3=tiny_t5_tokenizer(),
    )


def _wide_t5(width: int) -> Any:
    config = _t5().config.to_dict() | {"d_model": width}
    config.pop("architectures", None)
    return transformers.T5EncoderModel(transformers.T5Config(**config))


def pixart(sigma: bool = False) -> Any:
    """PixArt-alpha or -sigma: T5 alone."""
    kind = diffusers.PixArtSigmaPipeline if sigma else diffusers.PixArtAlphaPipeline
    return kind(
        tokenizer=tiny_t5_tokenizer(),
        text_encoder=_t5(),
        vae=_vae(4, 4),
        transformer=diffusers.PixArtTransformer2DModel(
            sample_size=32,
            num_layers=1,
            patch_size=2,
            attention_head_dim=8,
            num_attention_heads=3,
            caption_channels=32,
            in_channels=4,
            cross_attention_dim=24,
            out_channels=8,
            norm_num_groups=1,
            use_additional_conditions=False,
        ),
        scheduler=diffusers.DPMSolverMultistepScheduler(),
    )


def _gemma2(tokenizer: Any) -> Any:
    return transformers.Gemma2Model(
        transformers.Gemma2Config(
            vocab_size=len(tokenizer),
            hidden_size=8,
            intermediate_size=8,
            num_attention_heads=2,
            num_hidden_layers=2,
            num_key_value_heads=2,
            head_dim=4,
        )
    )


def sana(sample_size: int = 16) -> Any:
    """Sana: Gemma 2 behind an instruction, an autoencoder that reduces sides by 32."""
    tokenizer = make_tokenizer()
    return diffusers.SanaPipeline(
        tokenizer=tokenizer,
        text_encoder=_gemma2(tokenizer),
        vae=diffusers.AutoencoderDC(
            in_channels=3,
            latent_channels=4,
            attention_head_dim=2,
            encoder_block_types=("ResBlock",) * 6,
            decoder_block_types=("ResBlock",) * 6,
            encoder_block_out_channels=(8,) * 6,
            decoder_block_out_channels=(8,) * 6,
            encoder_qkv_multiscales=((),) * 6,
            decoder_qkv_multiscales=((),) * 6,
            encoder_layers_per_block=(1,) * 6,
            decoder_layers_per_block=(1,) * 6,
            downsample_block_type="conv",
            upsample_block_type="interpolate",
            decoder_norm_types="rms_norm",
            decoder_act_fns="silu",
            scaling_factor=0.41407,
        ),
        transformer=diffusers.SanaTransformer2DModel(
            patch_size=1,
            in_channels=4,
            out_channels=4,
            num_layers=1,
            num_attention_heads=2,
            attention_head_dim=4,
            num_cross_attention_heads=2,
            cross_attention_head_dim=4,
            cross_attention_dim=8,
            caption_channels=8,
            sample_size=sample_size,
        ),
        scheduler=EULER(),
    )


def lumina2() -> Any:
    """Lumina-Image 2.0: Gemma 2 behind a system prompt."""
    tokenizer = make_tokenizer()
    return diffusers.Lumina2Pipeline(
        transformer=diffusers.Lumina2Transformer2DModel(
            sample_size=4,
            patch_size=2,
            in_channels=4,
            hidden_size=8,
            num_layers=2,
            num_attention_heads=1,
            num_kv_heads=1,
            multiple_of=16,
            ffn_dim_multiplier=None,
            norm_eps=1e-5,
            scaling_factor=1.0,
            axes_dim_rope=[4, 2, 2],
            cap_feat_dim=8,
        ),
        scheduler=EULER(),
        vae=_vae(4, 4),
        text_encoder=_gemma2(tokenizer),
        tokenizer=tokenizer,
    )


def qwen_image() -> Any:
    """Qwen-Image: Qwen2.5-VL reads, real guidance needs a negative prompt."""
    tokenizer = make_tokenizer("<|im_start|>", "<|im_end|>")
    tokenizer.chat_template = CHATML
    config = transformers.Qwen2_5_VLConfig(
        text_config={
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "rope_parameters": {
                "mrope_section": [1, 1, 2],
                "rope_type": "default",
                "rope_theta": 1e6,
            },
            "vocab_size": len(tokenizer),
        },
        vision_config={
            "depth": 1,
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_heads": 2,
            "out_hidden_size": 16,
        },
        vocab_size=len(tokenizer),
    )
    return diffusers.QwenImagePipeline(
        scheduler=EULER(),
        vae=diffusers.AutoencoderKLQwenImage(
            base_dim=24,
            z_dim=4,
            dim_mult=[1, 2, 4],
            num_res_blocks=1,
            temperal_downsample=[False, True],
            latents_mean=[0.0] * 4,
            latents_std=[1.0] * 4,
        ),
        text_encoder=transformers.Qwen2_5_VLForConditionalGeneration(config),
        tokenizer=tokenizer,
        transformer=diffusers.QwenImageTransformer2DModel(
            patch_size=2,
            in_channels=16,
            out_channels=4,
            num_layers=1,
            attention_head_dim=16,
            num_attention_heads=3,
            joint_attention_dim=16,
            guidance_embeds=False,
            axes_dims_rope=(8, 4, 4),
        ),
    )


PIPELINES = {
    "flux": flux,
    "sd3": sd3,
    "pixart": pixart,
    "sana": sana,
    "lumina2": lumina2,
    "qwen": qwen_image,
}


def write_pipeline(name: str, folder: Any) -> Any:
    """Save a pipeline in diffusers' layout and return the folder."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        PIPELINES[name]().save_pretrained(folder)
    return folder
