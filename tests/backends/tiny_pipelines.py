"""Pipelines of diffusers' real classes, a few thousand weights each: they draw blotches."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import diffusers
import torch
import transformers
from tokenizers import processors

from ella import tiny
from ella.tiny_tokenizers import tiny_clip_tokenizer, tiny_t5_tokenizer
from tests.backends.tiny_vlms import CHATML, TEXT, make_tokenizer

EULER = diffusers.FlowMatchEulerDiscreteScheduler


def _vae(channels: int, stages: int = 2, *, quant_conv: bool = False) -> Any:
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
        use_quant_conv=quant_conv,
        use_post_quant_conv=quant_conv,
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


def sd() -> Any:
    """Stable Diffusion 1.x and 2: CLIP alone."""
    return tiny.tiny_pipeline()


def _sdxl_unet(width: int, pooled: int) -> Any:
    """SDXL's U-Net for tokens of a width, with pooled features beside six numbers of the size."""
    return diffusers.UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=(2, 4),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        transformer_layers_per_block=(1, 1),
        projection_class_embeddings_input_dim=6 * 8 + pooled,
        cross_attention_dim=width,
        norm_num_groups=4,
    )


def sdxl(*, edm: bool = False) -> Any:
    """Stable Diffusion XL and what has its shape: two CLIPs, the second one's pooled vector."""
    scheduler = diffusers.EDMDPMSolverMultistepScheduler() if edm else tiny.tiny_scheduler()
    return diffusers.StableDiffusionXLPipeline(
        vae=_vae(4, 4, quant_conv=True),
        text_encoder=_clip(),
        text_encoder_2=_clip(projected=True),
        tokenizer=tiny_clip_tokenizer(),
        tokenizer_2=tiny_clip_tokenizer(),
        unet=_sdxl_unet(64, 32),
        scheduler=scheduler,
        add_watermarker=False,
    )


def playground() -> Any:
    """Playground v2.5: SDXL with a scheduler of its own."""
    return sdxl(edm=True)


def flux2() -> Any:
    """FLUX.2: Mistral 3's layers 10, 20 and 30 behind a system message; distilled guidance.

    The tokenizer stands alone: the processor around it, for pictures, needs torchvision. Weights
    that are larger than a new network's give states of about 1, as trained ones do: FLUX.2 reads
    them without a norm, and would not hear the prompt.
    """
    tokenizer = make_tokenizer("[IMG]")
    tokenizer.chat_template = CHATML
    config = transformers.Mistral3Config(
        text_config={
            "model_type": "mistral",
            "hidden_size": 8,
            "intermediate_size": 8,
            "num_hidden_layers": 31,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "head_dim": 4,
            "vocab_size": len(tokenizer),
            "initializer_range": 1.0,
        },
        vision_config={
            "model_type": "pixtral",
            "hidden_size": 8,
            "intermediate_size": 8,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "image_size": 28,
            "patch_size": 14,
        },
        image_token_index=tokenizer.convert_tokens_to_ids("[IMG]"),
    )
    return diffusers.Flux2Pipeline(
        scheduler=EULER(),
        vae=diffusers.AutoencoderKLFlux2(
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            block_out_channels=(8, 8),
            layers_per_block=1,
            latent_channels=4,
            norm_num_groups=4,
            sample_size=32,
        ),
        text_encoder=transformers.Mistral3ForConditionalGeneration(config),
        tokenizer=tokenizer,
        transformer=diffusers.Flux2Transformer2DModel(
            patch_size=1,
            in_channels=16,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=24,
            timestep_guidance_channels=8,
            axes_dims_rope=(4, 4, 4, 4),
        ),
    )


def hunyuan_dit() -> Any:
    """Hunyuan-DiT: BERT's 77 tokens and T5's 256."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "red", "circle", "a"]
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    vocab = dict.fromkeys([*words, *letters, *(f"##{letter}" for letter in letters)])
    tokenizer = transformers.BertTokenizer(vocab={word: n for n, word in enumerate(vocab)})
    config = transformers.BertConfig(
        vocab_size=len(vocab),
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=4,
        max_position_embeddings=77,
    )
    return diffusers.HunyuanDiTPipeline(
        vae=_vae(4, 4),
        text_encoder=transformers.BertModel(config),
        tokenizer=tokenizer,
        text_encoder_2=_t5(),
        tokenizer_2=tiny_t5_tokenizer(),
        transformer=diffusers.HunyuanDiT2DModel(
            sample_size=8,
            num_layers=2,
            patch_size=2,
            attention_head_dim=8,
            num_attention_heads=3,
            in_channels=4,
            cross_attention_dim=32,
            cross_attention_dim_t5=32,
            pooled_projection_dim=16,
            hidden_size=24,
        ),
        scheduler=diffusers.DDPMScheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def _tokenizer() -> Any:
    """Return a tokenizer that puts a token before each text, so that none is empty."""
    tokenizer = make_tokenizer()
    tokenizer._tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)]
    )
    return tokenizer


def lumina_next() -> Any:
    """Lumina-Next: Gemma reads."""
    tokenizer = _tokenizer()
    config = transformers.GemmaConfig(
        vocab_size=len(tokenizer),
        hidden_size=8,
        intermediate_size=8,
        num_attention_heads=2,
        num_hidden_layers=2,
        num_key_value_heads=2,
        head_dim=4,
    )
    return diffusers.LuminaPipeline(
        transformer=diffusers.LuminaNextDiT2DModel(
            sample_size=8,
            patch_size=2,
            in_channels=4,
            hidden_size=24,
            num_layers=2,
            num_attention_heads=3,
            num_kv_heads=1,
            multiple_of=16,
            cross_attention_dim=8,
        ),
        scheduler=EULER(),
        vae=_vae(4, 4),
        text_encoder=transformers.GemmaModel(config),
        tokenizer=tokenizer,
    )


def cogview4() -> Any:
    """CogView4: GLM reads."""
    tokenizer = _tokenizer()
    config = transformers.GlmConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        pad_token_id=0,
    )
    return diffusers.CogView4Pipeline(
        tokenizer=tokenizer,
        text_encoder=transformers.GlmModel(config),
        vae=_vae(4, 4),
        transformer=diffusers.CogView4Transformer2DModel(
            patch_size=2,
            in_channels=4,
            out_channels=4,
            num_layers=1,
            attention_head_dim=4,
            num_attention_heads=4,
            text_embed_dim=32,
            time_embed_dim=8,
            condition_dim=4,
            sample_size=8,
        ),
        scheduler=EULER(),
    )


def kolors() -> Any:
    """Kolors: ChatGLM as diffusers has it, SDXL's U-Net."""
    from diffusers.pipelines.kolors import ChatGLMModel, ChatGLMTokenizer
    from diffusers.pipelines.kolors.text_encoder import ChatGLMConfig

    tokenizer = ChatGLMTokenizer(str(Path(_sentencepiece().name) / "tokenizer.model"))
    config = ChatGLMConfig(
        num_layers=2,
        padded_vocab_size=tokenizer.vocab_size,
        hidden_size=16,
        ffn_hidden_size=16,
        kv_channels=8,
        num_attention_heads=2,
        seq_length=512,
        multi_query_attention=True,
        multi_query_group_num=1,
        add_qkv_bias=True,
        original_rope=True,
    )
    text_encoder = ChatGLMModel(config)
    with torch.no_grad():  # its class sets no weights
        for weights in text_encoder.parameters():
            weights.normal_(0, 0.3)
    return diffusers.KolorsPipeline(
        vae=_vae(4, 4, quant_conv=True),
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=_sdxl_unet(16, 16),
        scheduler=diffusers.EulerDiscreteScheduler(),
    )


@functools.cache
def _sentencepiece() -> tempfile.TemporaryDirectory[str]:
    """Return a folder with a model of SentencePiece over letters and a few words."""
    import sentencepiece

    folder = tempfile.TemporaryDirectory()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([TEXT] * 20),
        model_prefix=str(Path(folder.name) / "tokenizer"),
        vocab_size=60,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    return folder


def omnigen() -> Any:
    """OmniGen: the denoiser reads the prompt itself."""
    _omnigen_processor()
    tokenizer = _tokenizer()
    return diffusers.OmniGenPipeline(
        transformer=diffusers.OmniGenTransformer2DModel(
            hidden_size=16,
            num_attention_heads=4,
            num_key_value_heads=4,
            intermediate_size=32,
            num_layers=1,
            in_channels=4,
            time_step_dim=4,
            vocab_size=len(tokenizer),
            pad_token_id=0,
            rope_scaling={"long_factor": [1.0, 2.0], "short_factor": [1.0, 2.0]},
        ),
        scheduler=EULER(),
        vae=_vae(4, 4),
        tokenizer=tokenizer,
    )


def _omnigen_processor() -> None:
    """Let diffusers have OmniGen's processor without torchvision, which it needs for pictures."""
    from diffusers.pipelines.omnigen import pipeline_omnigen, processor_omnigen

    if not hasattr(pipeline_omnigen, "OmniGenMultiModalProcessor"):
        processor_omnigen.transforms = MagicMock()
        kind = processor_omnigen.OmniGenMultiModalProcessor
        pipeline_omnigen.OmniGenMultiModalProcessor = kind


def hidream() -> Any:
    """HiDream-I1: two long CLIPs' pooled vectors, T5, and all layers of a Llama."""
    tokenizer = _tokenizer()
    clips = {}
    for suffix in ("", "_2"):
        clips[f"tokenizer{suffix}"] = tiny_clip_tokenizer()
        clips[f"tokenizer{suffix}"].model_max_length = 248
        config = tiny._clip(clips[f"tokenizer{suffix}"]).config.to_dict()
        config |= {"max_position_embeddings": 248}
        clips[f"text_encoder{suffix}"] = transformers.CLIPTextModelWithProjection(
            transformers.CLIPTextConfig(**config)
        )
    llama = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
    )
    return diffusers.HiDreamImagePipeline(
        scheduler=EULER(),
        vae=_vae(4, 1),
        **clips,
        text_encoder_3=_t5(),
        tokenizer_3=tiny_t5_tokenizer(),
        text_encoder_4=transformers.LlamaForCausalLM(llama),
        tokenizer_4=tokenizer,
        transformer=diffusers.HiDreamImageTransformer2DModel(
            patch_size=2,
            in_channels=4,
            out_channels=4,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=8,
            num_attention_heads=1,
            caption_channels=[32, 16],
            text_emb_dim=64,
            axes_dims_rope=(4, 2, 2),
            max_resolution=(128, 128),
            llama_layers=[0, 1],
        ),
    )


def z_image() -> Any:
    """Z-Image: Qwen 3 reads a chat."""
    tokenizer = make_tokenizer("<|im_start|>", "<|im_end|>")
    tokenizer.chat_template = TEXT_CHATML
    config = transformers.Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=8,
    )
    transformer = diffusers.ZImageTransformer2DModel(
        all_patch_size=(2,),
        all_f_patch_size=(1,),
        in_channels=4,
        dim=32,
        n_layers=1,
        n_refiner_layers=1,
        n_heads=2,
        n_kv_heads=2,
        cap_feat_dim=16,
        axes_dims=[8, 4, 4],
        axes_lens=[1024, 64, 64],
    )
    with torch.no_grad():  # these two are not set by the class
        transformer.x_pad_token.normal_()
        transformer.cap_pad_token.normal_()
    return diffusers.ZImagePipeline(
        scheduler=EULER(),
        vae=_vae(4, 4),
        text_encoder=transformers.Qwen3Model(config),
        tokenizer=tokenizer,
        transformer=transformer,
    )


TEXT_CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
PIPELINES = {
    "flux": flux,
    "sd3": sd3,
    "pixart": pixart,
    "sana": sana,
    "lumina2": lumina2,
    "qwen": qwen_image,
}
FAMILIES = {
    **PIPELINES,
    "sd": sd,
    "sdxl": sdxl,
    "playground": playground,
    "pixart-sigma": lambda: pixart(sigma=True),
    "flux2": flux2,
    "hunyuan-dit": hunyuan_dit,
    "lumina-next": lumina_next,
    "cogview4": cogview4,
    "kolors": kolors,
    "omnigen": omnigen,
    "hidream": hidream,
    "z-image": z_image,
}
"""Every family of the table of published models."""


def write_pipeline(name: str, folder: Any) -> Any:
    """Save a pipeline in diffusers' layout and return the folder."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        FAMILIES[name]().save_pretrained(folder)
    return folder
