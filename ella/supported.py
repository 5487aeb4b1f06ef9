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


BY_NETWORK = ("PixArtAlphaPipeline", "PixArtSigmaPipeline")
"""Classes without a callback after each step: their network is handed its tokens."""


def is_drawn_by_network(pipeline: Any) -> bool:
    """Whether the tokens of a step reach a pipeline's network by `ella.step_tokens`."""
    return any(base.__name__ in BY_NETWORK for base in type(pipeline).__mro__)


def takes_rows_as_they_are(pipeline: Any) -> bool:
    """Whether a pipeline leaves it to its caller to repeat a prompt's embeddings for its images."""
    return any(base.__name__.startswith("StableDiffusion3") for base in type(pipeline).__mro__)


ONE_PROMPT = {
    "AnimateDiffControlNetPipeline": "diffusers does not repeat its control frames for a second one"
}
"""Classes that draw one prompt at a call."""


def check_prompts(pipeline: Any, num_prompts: int) -> None:
    """Raise where a pipeline's class cannot draw so many prompts in a call.

    Raises:
        ValueError: With the reason.
    """
    name = type(pipeline).__name__
    if num_prompts > 1 and name in ONE_PROMPT:
        raise ValueError(
            f"{name} draws one prompt at a call ({ONE_PROMPT[name]}), got {num_prompts}; call it"
            " for each"
        )


def check_pipeline_class(pipeline: Any) -> None:
    """Raise where a pipeline's class cannot be shown other conditions at each step.

    Raises:
        UnsupportedPipelineError: With the reason.
    """
    kind = type(pipeline)
    for base in kind.__mro__:
        if base.__name__ in REFUSED:
            raise UnsupportedPipelineError(f"{kind.__name__}: {REFUSED[base.__name__]}; {_INSTEAD}")
    if is_drawn_by_network(pipeline):
        return
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


def network_of(pipeline: Any) -> Any:
    """The network of a pipeline that reads tokens: its U-Net, or its transformer."""
    unet = getattr(pipeline, "unet", None)
    return getattr(pipeline, "transformer", None) if unet is None else unet


def pooled_width_of(network: Any) -> int:
    """Width of the pooled embedding that a network takes; 0: it takes none."""
    config = network.config
    if config.get("addition_embed_type") == "text_time":
        sizes = 6 * (config.get("addition_time_embed_dim") or 0)
        return int((config.get("projection_class_embeddings_input_dim") or 0) - sizes)
    return int(config.get("pooled_projection_dim") or 0)


def check_denoiser(pipeline: Any, width: int, pooled_width: int) -> None:
    """Raise unless a pipeline's network takes what a connector gives.

    Args:
        pipeline: Of diffusers.
        width: Of the connector's tokens.
        pooled_width: Of its pooled embedding; 0: it gives none.

    Raises:
        UnsupportedPipelineError: If not, or there is no such network.
    """
    name, network = type(pipeline).__name__, network_of(pipeline)
    if getattr(pipeline, "unet", None) is not None or network is None:
        _check_unet(pipeline, width)
    else:
        config = network.config
        wanted = config.get("caption_channels") or config.get("joint_attention_dim")
        if wanted != width:
            raise UnsupportedPipelineError(
                f"{name}: its transformer takes tokens of width {wanted}, but the connector gives"
                f" {width}; use the base model that the connector was trained for"
            )
    taken = pooled_width_of(network)
    missing = taken and not pooled_width and not is_sdxl(pipeline)  # SDXL's own CLIPs can give it
    if missing or (pooled_width and taken != pooled_width):
        raise UnsupportedPipelineError(
            f"{name}: its network takes a pooled embedding of width {taken} (0: none), but the"
            f" connector gives one of {pooled_width}; use the base model that the connector was"
            " trained for"
        )


def _check_unet(pipeline: Any, width: int) -> None:
    """Raise unless a pipeline's U-Net takes tokens of this width, of text alone."""
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
    unet = getattr(pipeline, "unet", None)
    return unet is not None and bool(unet.config.get("addition_embed_type") == "text_time")
