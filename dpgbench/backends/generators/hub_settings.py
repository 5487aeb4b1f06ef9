"""How published pipelines are run by those who made them, by repository name, with sources.

A pipeline class has one set of defaults for all repositories that it can load: FLUX.1-schnell under
the defaults of its class is not FLUX.1-schnell. What stands here replaces the class's defaults for
``hf:ORG/REPO``; what does not stand here is the class's or the repository's, and that is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class PublishedSettings:
    """How one repository's pipeline is run.

    Attributes:
        settings: fields of `GenerationSpec`.
        arguments: further arguments of the pipeline's call.
        dtype: on an accelerator; a CPU computes in float32.
        token_limit: of the encoder which reads furthest, where no argument of the call says it.
        sources: where each comes from.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    arguments: Mapping[str, Any] = field(default_factory=dict)
    dtype: str | None = None
    token_limit: int | None = None
    sources: Mapping[str, str] = field(default_factory=dict)


def _entry(
    px: int | None = None,
    steps: int | None = None,
    guidance: float | None = None,
    dtype: str | None = None,
    *,
    negative_prompt: str | None = None,
    token_limit: int | None = None,
    sources: Mapping[str, str],
    **arguments: Any,
) -> PublishedSettings:
    settings = {
        "width_px": px,
        "height_px": px,
        "steps": steps,
        "guidance_scale": guidance,
        "negative_prompt": negative_prompt,
    }
    published = {name: value for name, value in settings.items() if value is not None}
    return PublishedSettings(published, arguments, dtype, token_limit, sources)


_DOCS = "diffusers documentation (58eb52c)"
_EXAMPLE = "diffusers 0.42.1, the class's example"
_SIGNATURE = "diffusers 0.42.1, the class's arguments"
_CARD = "model card"

PUBLISHED: dict[str, PublishedSettings] = {
    "stabilityai/stable-diffusion-xl-base-1.0": _entry(
        px=1024,
        dtype="float16",
        sources={"size": f"{_DOCS}, stable_diffusion_xl.md", "dtype": f"{_DOCS}, the same"},
    ),
    "stabilityai/sdxl-turbo": _entry(
        px=512,
        steps=1,
        guidance=0.0,
        dtype="float16",
        sources={"size": _CARD, "steps": _CARD, "guidance": _CARD, "dtype": _CARD},
    ),
    "PixArt-alpha/PixArt-XL-2-1024-MS": _entry(
        px=1024,
        steps=20,
        guidance=4.5,
        dtype="float16",
        max_sequence_length=120,
        sources={
            "size": "PixArt-alpha README",
            "steps": _SIGNATURE,
            "guidance": _SIGNATURE,
            "dtype": _EXAMPLE,
            "max_sequence_length": "PixArt-sigma README, table",
        },
    ),
    "PixArt-alpha/PixArt-Sigma-XL-2-1024-MS": _entry(
        px=1024,
        steps=20,
        guidance=4.5,
        dtype="float16",
        max_sequence_length=300,
        sources={
            "size": _EXAMPLE,
            "steps": _SIGNATURE,
            "guidance": _SIGNATURE,
            "dtype": _EXAMPLE,
            "max_sequence_length": "PixArt-sigma README, table",
        },
    ),
    "playgroundai/playground-v2.5-1024px-aesthetic": _entry(
        px=1024,
        steps=50,
        guidance=3.0,
        dtype="float16",
        sources={"size": _CARD, "steps": _CARD, "guidance": _CARD, "dtype": _CARD},
    ),
    "stabilityai/stable-diffusion-3-medium-diffusers": _entry(
        px=1024,
        steps=28,
        guidance=7.0,
        dtype="float16",
        max_sequence_length=256,
        sources={
            "size": f"{_DOCS}, stable_diffusion_3.md",
            "steps": f"{_DOCS}, the same",
            "guidance": f"{_DOCS}, the same",
            "dtype": _EXAMPLE,
            "max_sequence_length": _SIGNATURE,
        },
    ),
    "stabilityai/stable-diffusion-3.5-large": _entry(
        steps=40,
        guidance=4.5,
        max_sequence_length=256,
        sources={
            "steps": "Stability-AI/sd3.5 (fbf8f48), sd3_infer.py",
            "guidance": "Stability-AI/sd3.5 (fbf8f48), sd3_infer.py",
            "max_sequence_length": _CARD,
        },
    ),
    "black-forest-labs/FLUX.1-dev": _entry(
        px=1024,
        steps=50,
        guidance=3.5,
        dtype="bfloat16",
        max_sequence_length=512,
        sources={
            "size": "diffusers 0.42.1, default_sample_size",
            "steps": f"{_DOCS}, flux.md",
            "guidance": f"{_DOCS}, flux.md",
            "dtype": f"{_DOCS}, flux.md",
            "max_sequence_length": _SIGNATURE,
        },
    ),
    "black-forest-labs/FLUX.1-schnell": _entry(
        px=1024,
        steps=4,
        guidance=0.0,
        dtype="bfloat16",
        max_sequence_length=256,
        sources={
            "size": "diffusers 0.42.1, default_sample_size",
            "steps": f"{_DOCS}, flux.md",
            "guidance": f"{_DOCS}, flux.md",
            "dtype": f"{_DOCS}, flux.md",
            "max_sequence_length": f"{_DOCS}, flux.md",
        },
    ),
    "black-forest-labs/FLUX.2-dev": _entry(
        px=1024,
        steps=50,
        guidance=2.5,
        dtype="bfloat16",
        max_sequence_length=512,
        sources={
            "size": "diffusers 0.42.1, default_sample_size",
            "steps": _EXAMPLE,
            "guidance": _EXAMPLE,
            "dtype": _EXAMPLE,
            "max_sequence_length": _SIGNATURE,
        },
    ),
    "Efficient-Large-Model/Sana_1600M_1024px_BF16_diffusers": _entry(
        px=1024,
        steps=20,
        guidance=4.5,
        dtype="bfloat16",
        max_sequence_length=300,
        sources={
            "size": _SIGNATURE,
            "steps": _SIGNATURE,
            "guidance": _SIGNATURE,
            "dtype": f"{_DOCS}, sana.md",
            "max_sequence_length": _SIGNATURE,
        },
    ),
    "Efficient-Large-Model/Sana_600M_1024px_diffusers": _entry(
        px=1024,
        steps=20,
        guidance=4.5,
        dtype="bfloat16",
        max_sequence_length=300,
        sources={
            "size": f"{_DOCS}, sana.md",
            "steps": _SIGNATURE,
            "guidance": _SIGNATURE,
            # The transformer runs in float16 too, text encoder and VAE do not.
            "dtype": f"{_DOCS}, sana.md (text encoder and VAE)",
            "max_sequence_length": _SIGNATURE,
        },
    ),
    "Tencent-Hunyuan/HunyuanDiT-v1.2-Diffusers": _entry(
        dtype="float16",
        token_limit=256,
        sources={"dtype": _EXAMPLE, "token_limit": "diffusers 0.42.1, encode_prompt (mT5)"},
    ),
    "Alpha-VLLM/Lumina-Next-SFT-diffusers": _entry(dtype="bfloat16", sources={"dtype": _EXAMPLE}),
    "Alpha-VLLM/Lumina-Image-2.0": _entry(
        px=1024,
        steps=50,
        guidance=4.0,
        dtype="bfloat16",
        max_sequence_length=256,
        cfg_trunc_ratio=0.25,
        cfg_normalization=True,
        sources={
            "size": "Lumina-Image-2.0 (4a4d6f8) README",
            "steps": "Lumina-Image-2.0 (4a4d6f8) README",
            "guidance": "Lumina-Image-2.0 (4a4d6f8) README",
            "cfg_trunc_ratio": "Lumina-Image-2.0 (4a4d6f8) README",
            "cfg_normalization": "Lumina-Image-2.0 (4a4d6f8) README",
            "dtype": "Lumina-Image-2.0 (4a4d6f8) README",
            "max_sequence_length": _SIGNATURE,
        },
    ),
    "Qwen/Qwen-Image": _entry(
        px=1328,
        steps=50,
        guidance=4.0,
        negative_prompt=" ",
        dtype="bfloat16",
        max_sequence_length=512,
        sources={
            "size": "QwenLM/Qwen-Image (6b5e1f5) README",
            "steps": "QwenLM/Qwen-Image (6b5e1f5) README",
            "guidance": "QwenLM/Qwen-Image (6b5e1f5) README",
            "negative_prompt": "QwenLM/Qwen-Image (6b5e1f5) README",
            "dtype": "QwenLM/Qwen-Image (6b5e1f5) README",
            "max_sequence_length": _SIGNATURE,
        },
    ),
    "Tongyi-MAI/Z-Image": _entry(
        steps=50,
        guidance=5.0,
        dtype="bfloat16",
        max_sequence_length=512,
        sources={
            "steps": "Z-Image (c7ec135) README",
            "guidance": _SIGNATURE,
            "dtype": _EXAMPLE,
            "max_sequence_length": _SIGNATURE,
        },
    ),
    "Tongyi-MAI/Z-Image-Turbo": _entry(
        px=1024,
        steps=9,
        guidance=0.0,
        dtype="bfloat16",
        max_sequence_length=512,
        sources={
            "size": "Z-Image (c7ec135) README",
            "steps": "Z-Image (c7ec135) README: 9 make 8 forward passes",
            "guidance": "Z-Image (c7ec135) README",
            "dtype": "Z-Image (c7ec135) README",
            "max_sequence_length": _SIGNATURE,
        },
    ),
    "HiDream-ai/HiDream-I1-Full": _entry(
        px=1024,
        steps=50,
        guidance=5.0,
        dtype="bfloat16",
        max_sequence_length=128,
        sources={
            "size": _EXAMPLE,
            "steps": "HiDream-I1 (9b42dd6) README",
            "guidance": "HiDream-I1 (9b42dd6) README",
            "dtype": _EXAMPLE,
            "max_sequence_length": _SIGNATURE,
        },
    ),
    "Shitao/OmniGen-v1-diffusers": _entry(
        px=1024,
        steps=50,
        guidance=2.5,
        dtype="bfloat16",
        sources={
            "size": "diffusers 0.42.1, default_sample_size",
            "steps": _EXAMPLE,
            "guidance": _EXAMPLE,
            "dtype": _EXAMPLE,
        },
    ),
    "THUDM/CogView4-6B": _entry(
        dtype="bfloat16",
        max_sequence_length=1024,
        sources={"dtype": _EXAMPLE, "max_sequence_length": _SIGNATURE},
    ),
    "Kwai-Kolors/Kolors-diffusers": _entry(
        steps=25,
        guidance=6.5,
        dtype="float16",
        max_sequence_length=256,
        sources={
            "steps": f"{_DOCS}, kolors.md",
            "guidance": f"{_DOCS}, kolors.md",
            "dtype": f"{_DOCS}, kolors.md",
            "max_sequence_length": _SIGNATURE,
        },
    ),
}
PUBLISHED["Qwen/Qwen-Image-2512"] = PUBLISHED["Qwen/Qwen-Image"]
_BY_LOWER_CASE = {repository.lower(): entry for repository, entry in PUBLISHED.items()}


def published_settings(name: str) -> PublishedSettings | None:
    """Return how ``hf:NAME`` is run, None where the table does not know.

    Args:
        name: a repository, or a folder of the hub's own cache (``models--ORG--REPO``).
    """
    for part in Path(name).parts:
        words = part.split("--")
        if len(words) == 3 and words[0] == "models":
            return _BY_LOWER_CASE.get("/".join(words[1:]).lower())
    return _BY_LOWER_CASE.get(name.lower())
