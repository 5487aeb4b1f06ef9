"""Which of diffusers' pipelines can draw with ELLA, and why others cannot."""

from __future__ import annotations

import inspect
from typing import Any

from ella.errors import UnsupportedPipelineError

NEEDED_PARAMETERS = ("prompt_embeds", "negative_prompt_embeds", "callback_on_step_end")

_STACKED = "it stacks its conditions for a guidance of its own"
REFUSED = {
    "PAGMixin": f"{_STACKED} (perturbed attention)",
    "StableDiffusionInstructPix2PixPipeline": f"{_STACKED} (text and picture, three rows each)",
    "StableDiffusionXLInstructPix2PixPipeline": f"{_STACKED} (text and picture, three rows each)",
    "AnimateDiffVideoToVideoPipeline": "its schedule depends on the video's own frames",
    "AnimateDiffVideoToVideoControlNetPipeline": "its schedule depends on the video's own frames",
    "AnimateDiffSDXLPipeline": "of SDXL only pictures are supported",
    "PIAPipeline": "its frames are conditioned beside the text",
    "KolorsPipeline": "its U-Net was trained on ChatGLM's features, not on CLIP's",
    "KolorsImg2ImgPipeline": "its U-Net was trained on ChatGLM's features, not on CLIP's",
    "StableDiffusionPanoramaPipeline": "it calls its U-Net for several views at each step",
    "Kandinsky3Pipeline": "its U-Net was trained on T5's features, not on CLIP's",
    "Kandinsky3Img2ImgPipeline": "its U-Net was trained on T5's features, not on CLIP's",
    "AltDiffusionPipeline": "its U-Net was trained on AltCLIP's features, not on CLIP's",
    "AltDiffusionImg2ImgPipeline": "its U-Net was trained on AltCLIP's features, not on CLIP's",
}
"""Classes, and their subclasses, that are refused although they take conditions at each step."""


def check_pipeline_class(pipeline: Any) -> None:
    """Raise where a pipeline's class cannot be shown other conditions at each step.

    Raises:
        UnsupportedPipelineError: With the reason.
    """
    kind = type(pipeline)
    for base in kind.__mro__:
        if base.__name__ in REFUSED:
            raise UnsupportedPipelineError(f"{kind.__name__}: {REFUSED[base.__name__]}; {_INSTEAD}")
    parameters = inspect.signature(kind.__call__).parameters
    missing = [needed for needed in NEEDED_PARAMETERS if needed not in parameters]
    if missing or "prompt_embeds" not in getattr(pipeline, "_callback_tensor_inputs", ()):
        raise UnsupportedPipelineError(
            f"{kind.__name__}: its conditions cannot be changed at each step (missing:"
            f" {', '.join(missing) or 'prompt_embeds in callback_on_step_end'}); {_INSTEAD}"
        )
    for setting in ("free_noise_enabled", "free_init_enabled"):
        if getattr(pipeline, setting, False):
            raise UnsupportedPipelineError(
                f"{kind.__name__}: with {setting.removesuffix('_enabled')} its conditions or its"
                " schedule are not those of one run; switch it off"
            )


_INSTEAD = "use a Stable Diffusion 1.x pipeline of diffusers (text-to-image, image-to-image, ...)"


def check_unet(pipeline: Any, width: int) -> None:
    """Raise unless a pipeline's U-Net takes tokens of this width, of text alone.

    Raises:
        UnsupportedPipelineError: If not, or there is no U-Net.
    """
    name = type(pipeline).__name__
    unet = getattr(pipeline, "unet", None)
    wanted = None if unet is None else unet.config.cross_attention_dim
    if isinstance(wanted, list | tuple) and len(set(wanted)) == 1:
        wanted = wanted[0]
    if unet is None or wanted != width:
        raise UnsupportedPipelineError(
            f"{name}: its U-Net takes tokens of width {wanted}, but the connector gives {width};"
            " use the base model that the connector was trained for"
        )
    projection = unet.config.get("encoder_hid_dim_type")
    if projection not in (None, "ip_image_proj"):
        raise UnsupportedPipelineError(
            f"{name}: its U-Net projects its text itself ({projection}); {_INSTEAD}"
        )


def is_sdxl(pipeline: Any) -> bool:
    """Whether the U-Net wants pooled embeddings and sizes beside the tokens, as SDXL's."""
    return bool(pipeline.unet.config.get("addition_embed_type") == "text_time")
