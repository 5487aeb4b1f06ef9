"""What a pipeline's own text encoders say: CLIP's tokens, and of SDXL the pooled embeddings."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ella.supported import is_sdxl

if TYPE_CHECKING:
    from torch import Tensor

POOLED = ("pooled_prompt_embeds", "negative_pooled_prompt_embeds")
SECOND_TEXTS = ("prompt_2", "negative_prompt_2")


@dataclass(frozen=True)
class OwnTexts:
    """From the pipeline's own `encode_prompt`, so with its LoRA and textual inversions.

    Attributes:
        positive: CLIP's tokens `[prompts, tokens, width]`.
        negative: Of the negative prompts; None without classifier-free guidance.
        pooled: Arguments of SDXL's pipelines, by name; empty for others.
    """

    positive: Tensor
    negative: Tensor | None
    pooled: dict[str, Tensor]


def encode_own(
    pipeline: Any,
    arguments: Mapping[str, Any],
    prompts: list[str],
    negatives: list[str] | None,
    guided: bool,
) -> OwnTexts:
    """CLIP's tokens and pooled embeddings by the pipeline's own method.

    Args:
        pipeline: The pipeline.
        arguments: Of its call, with defaults.
        prompts: The prompts.
        negatives: The user's negative prompts; None where there are none, which SDXL's pipelines
            do not take for the empty text.
        guided: Whether negative prompts have an effect.
    """
    parameters = inspect.signature(pipeline.encode_prompt).parameters
    count = "num_images_per_prompt"
    encoding: dict[str, Any] = {
        "prompt": prompts,
        "device": pipeline._execution_device,
        count if count in parameters else "num_videos_per_prompt": 1,
        "do_classifier_free_guidance": guided,
        "negative_prompt": negatives,
        "lora_scale": (arguments.get("cross_attention_kwargs") or {}).get("scale"),
        "clip_skip": arguments.get("clip_skip"),
        **{name: arguments[name] for name in SECOND_TEXTS if arguments.get(name) is not None},
    }
    encoded = pipeline.encode_prompt(**encoding)
    pooled: dict[str, Tensor] = {}
    if is_sdxl(pipeline):
        pooled = dict(zip(POOLED, encoded[2:4], strict=True))
        pooled = {name: tensor for name, tensor in pooled.items() if tensor is not None}
    return OwnTexts(encoded[0], encoded[1] if guided else None, pooled)


def has_own_encoders(pipeline: Any) -> bool:
    """Whether a pipeline can encode text itself."""
    names = ("text_encoder", "text_encoder_2")
    return any(getattr(pipeline, name, None) is not None for name in names)


def warn_of_silent_tokens(pipeline: Any, texts: Sequence[str]) -> None:
    """Warn where texts hold tokens of a textual inversion, which only CLIP knows."""
    tokenizer = getattr(pipeline, "tokenizer", None)
    added = getattr(tokenizer, "added_tokens_encoder", {})
    special = set(getattr(tokenizer, "all_special_tokens", ()))
    silent = [
        token
        for token in sorted(added.keys() - special)
        if any(token in text for text in texts) and token.strip()
    ]
    if silent:
        warnings.warn(
            f"{', '.join(silent)}: a textual inversion speaks through CLIP, so without"
            " with_clip=True it has no effect here; pass with_clip=True, or leave it out",
            UserWarning,
            stacklevel=4,
        )
