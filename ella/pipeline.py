"""ELLA on a diffusers pipeline: the U-Net stays diffusers' own and never learns of it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ella.callback import NextStepConditions
from ella.config import Length
from ella.connector import TimestepAwareSemanticConnector
from ella.errors import UnsupportedPipelineError
from ella.step_conditions import GuidedConditions, StepConditions
from ella.text_encoder import TextEncoder
from ella.timesteps import call_arguments, predict_timesteps

Texts = str | Sequence[str]


class Ella:
    """A language model and a connector, in place of CLIP before any Stable Diffusion 1.x pipeline.

    Args:
        connector: The Timestep-aware Semantic Connector.
        text_encoder: The language model that it was trained with.

    Raises:
        ValueError: If their widths differ.
    """

    def __init__(
        self, connector: TimestepAwareSemanticConnector, text_encoder: TextEncoder
    ) -> None:
        if connector.config.input_dim != text_encoder.feature_dim:
            raise ValueError(
                f"`connector` takes features of width {connector.config.input_dim}, but"
                f" `text_encoder` gives {text_encoder.feature_dim}; use the language model that the"
                " connector was trained with"
            )
        self.connector = connector
        self.text_encoder = text_encoder
        self._warn_of_tokens()

    def _warn_of_tokens(self) -> None:
        """Warn where fixed length is of another number of tokens than in training."""
        trained = self.connector.trained_text
        tokens = getattr(self.text_encoder, "fixed_length", None)
        if trained and trained.tokens and tokens and tokens != trained.tokens:
            warnings.warn(
                f"`connector` was trained with texts of {trained.tokens} tokens, but"
                f" `text_encoder` pads and cuts to {tokens} under length='fixed'; load it with"
                f" fixed_length={trained.tokens}",
                stacklevel=3,
            )

    def check_pipeline(self, pipeline: Any) -> None:
        """Raise unless the connector's tokens are of the width that the pipeline's U-Net takes.

        `generate` does so itself; here it is known before anything is drawn.

        Raises:
            UnsupportedPipelineError: If the widths differ, or there is no U-Net.
        """
        unet = getattr(pipeline, "unet", None)
        wanted = None if unet is None else unet.config.cross_attention_dim
        if wanted != self.connector.config.width:
            raise UnsupportedPipelineError(
                f"{type(pipeline).__name__}: its U-Net takes tokens of width {wanted}, but the"
                f" connector gives {self.connector.config.width}; use the base model that the"
                " connector was trained for"
            )

    @torch.no_grad()
    def generate(
        self,
        pipeline: Any,
        prompt: Texts,
        *,
        negative_prompt: Texts | None = None,
        length: Length | None = None,
        with_clip: bool = False,
        **pipeline_arguments: Any,
    ) -> Any:
        """What `pipeline(prompt, ...)` returns, with ELLA's conditions at every step.

        Nothing is registered on the pipeline or its networks, before, during or after the call.

        Args:
            pipeline: A Stable Diffusion 1.x pipeline of diffusers: text-to-image, image-to-image,
                inpainting, or any of them with ControlNet.
            prompt: One text or several.
            negative_prompt: One for all, or one for each; by default the empty text.
            length: `fixed` (128 tokens, padded and truncated) or `flexible` (each text at its own
                length, never truncated). By default as the connector's file says that it was
                trained, and where it does not, as the released one's, `fixed`.
            with_clip: Whether CLIP's 77 tokens follow ELLA's 64: brings back what speaks through
                CLIP, such as LoRA trigger words and textual inversion.
            **pipeline_arguments: The pipeline's own: `generator`, `num_inference_steps`,
                `guidance_scale`, `num_images_per_prompt`, `callback_on_step_end`, `image`, ...

        Raises:
            ValueError: If an argument does not fit.
            TypeError: If the pipeline takes no such argument.
            UnsupportedPipelineError: If this pipeline cannot be shown other conditions at each
                step, or was about to be shown those of a wrong timestep.
        """
        self.check_pipeline(pipeline)
        trained = self.connector.trained_text
        length = length or (trained.length if trained else "fixed")
        arguments = call_arguments(pipeline, pipeline_arguments)
        prompts = _as_texts("prompt", prompt)
        negatives = _negatives(negative_prompt, len(prompts)) if _is_guided(arguments) else None
        conditions = self._conditions(pipeline, arguments, prompts, negatives, length)
        if with_clip:
            clip = _clip_tokens(pipeline, arguments, prompts, negatives)
            conditions = replace(conditions, clip_positive=clip[0], clip_negative=clip[1])
        positive, negative = conditions.at(0)
        return pipeline(
            **pipeline_arguments
            | _callback_arguments(conditions, arguments)
            | {"prompt_embeds": positive, "negative_prompt_embeds": negative}
        )

    def _conditions(
        self,
        pipeline: Any,
        arguments: dict[str, Any],
        prompts: list[str],
        negatives: list[str] | None,
        length: Length,
    ) -> GuidedConditions:
        device = pipeline._execution_device
        texts = list(dict.fromkeys(prompts + (negatives or [])))
        steps = StepConditions(
            self.connector,
            self.text_encoder.encode(texts, length),
            predict_timesteps(pipeline, arguments, device),
            device=device,
            dtype=pipeline.unet.dtype,
        )
        index = {text: i for i, text in enumerate(texts)}
        return GuidedConditions(
            steps,
            positive=[index[text] for text in prompts],
            negative=None if negatives is None else [index[text] for text in negatives],
        )


def _callback_arguments(conditions: GuidedConditions, arguments: dict[str, Any]) -> dict[str, Any]:
    """ELLA's callback, before the user's own, and the tensors that either asks for."""
    then = arguments["callback_on_step_end"]
    wanted = getattr(then, "tensor_inputs", None)  # of a diffusers PipelineCallback
    if wanted is None:
        wanted = arguments["callback_on_step_end_tensor_inputs"]
    return {
        "callback_on_step_end": NextStepConditions(
            conditions, arguments["num_images_per_prompt"] or 1, then
        ),
        "callback_on_step_end_tensor_inputs": list(dict.fromkeys(["prompt_embeds", *wanted])),
    }


def _clip_tokens(
    pipeline: Any, arguments: dict[str, Any], prompts: list[str], negatives: list[str] | None
) -> tuple[Tensor, Tensor | None]:
    """CLIP's tokens by the pipeline's own method, so with its LoRA and textual inversions."""
    if getattr(pipeline, "text_encoder", None) is None:
        raise ValueError("`with_clip` needs a pipeline with a `text_encoder`, got None")
    return pipeline.encode_prompt(
        prompts,
        pipeline._execution_device,
        1,
        negatives is not None,
        negatives,
        lora_scale=(arguments.get("cross_attention_kwargs") or {}).get("scale"),
        clip_skip=arguments.get("clip_skip"),
    )


def _is_guided(arguments: dict[str, Any]) -> bool:
    return bool(arguments["guidance_scale"] > 1)


def _as_texts(name: str, texts: Texts) -> list[str]:
    listed = [texts] if isinstance(texts, str) else list(texts)
    if not listed or not all(isinstance(text, str) for text in listed):
        raise ValueError(f"`{name}` must be a text or a list of at least one, got {texts!r}")
    return listed


def _negatives(negative_prompt: Texts | None, num_prompts: int) -> list[str]:
    if negative_prompt is None or isinstance(negative_prompt, str):
        return [negative_prompt or ""] * num_prompts
    listed = _as_texts("negative_prompt", negative_prompt)
    if len(listed) != num_prompts:
        raise ValueError(
            f"`negative_prompt` must be one text or one for each of the {num_prompts} prompts,"
            f" got {len(listed)}"
        )
    return listed
