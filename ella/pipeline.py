"""ELLA on a diffusers pipeline: the U-Net stays diffusers' own and never learns of it."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from ella import saving
from ella.callback import NextStepConditions
from ella.config import Length
from ella.connector_base import Connector
from ella.own_texts import (
    POOLED,
    SECOND_TEXTS,
    OwnTexts,
    encode_own,
    has_own_encoders,
    warn_of_silent_tokens,
)
from ella.placement import is_offloaded, module_of, working_on
from ella.rows_by_length import counts_for, for_ragged_rows
from ella.step_conditions import Forward, GuidedConditions, StepConditions
from ella.step_tokens import draw_by_network
from ella.supported import (
    check_denoiser,
    check_pipeline_class,
    check_prompts,
    is_drawn_by_network,
    is_sdxl,
    network_of,
    takes_rows_as_they_are,
)
from ella.text_encoder import TextEncoder, TransformersTextEncoder
from ella.timesteps import call_arguments, predict_timesteps

Texts = str | Sequence[str]


@dataclass
class Memory:
    """What negative prompts became, which come again.

    Attributes:
        features: By text and length.
        steps: Tokens of a call's, on the schedule of that call.
        made_for: What `steps` follow from.
    """

    features: dict[tuple[str, Length], Tensor] = field(default_factory=dict)
    steps: StepConditions | None = None
    made_for: tuple[object, ...] = ()

    def clear(self) -> None:
        """Forget all."""
        self.features, self.steps, self.made_for = {}, None, ()


@dataclass(frozen=True)
class _Call:
    """What one call draws, after its arguments were checked.

    Attributes:
        arguments: Of the pipeline, with its defaults.
        prompts: The prompts.
        negatives: The user's negative prompts, one for each prompt; None where there are none.
        guided: Whether negative prompts have an effect.
        length: Of the texts.
        with_clip: Whether CLIP's tokens follow ELLA's.
        positive_only: Whether negative prompts are CLIP's alone.
        memory: Features of negative prompts that stay for later calls; None keeps none.
    """

    arguments: Mapping[str, Any]
    prompts: list[str]
    negatives: list[str] | None
    guided: bool
    length: Length
    with_clip: bool
    positive_only: bool
    memory: Memory | None = None

    @property
    def negative_texts(self) -> list[str]:
        """The negative prompts that ELLA encodes; none where it encodes none."""
        if not self.guided or self.positive_only:
            return []
        return self.negatives or [""] * len(self.prompts)

    @property
    def repeats(self) -> int:
        """How often the pipeline repeats each prompt: a video's frames, or a prompt's images."""
        frames = self.arguments.get("num_frames")
        return int(frames or self.arguments.get("num_images_per_prompt") or 1)


class Ella:
    """A language model and a connector, in place of CLIP before any Stable Diffusion pipeline.

    Args:
        connector: Of any kind; the released one is a Timestep-aware Semantic Connector.
        text_encoder: The language model that it was trained with.
        follow_pipeline: Whether both go to the pipeline's device to work, and back to the CPU
            where the pipeline is offloaded; else they stay where they are.

    Raises:
        ValueError: If their widths differ.
    """

    def __init__(
        self, connector: Connector, text_encoder: TextEncoder, *, follow_pipeline: bool = True
    ) -> None:
        if connector.config.input_dim != text_encoder.feature_dim:
            raise ValueError(
                f"`connector` takes features of width {connector.config.input_dim}, but"
                f" `text_encoder` gives {text_encoder.feature_dim}; use the language model that the"
                " connector was trained with"
            )
        trained = connector.trained_text
        if isinstance(text_encoder, TransformersTextEncoder):
            text_encoder = text_encoder.for_connector(trained.tokens if trained else None)
        self.connector = connector
        self.text_encoder = text_encoder
        self.follow_pipeline = follow_pipeline
        self._offloads = False
        self._forward: Forward | None = None
        self._warn_of_texts()

    def _warn_of_texts(self) -> None:
        """Warn where texts become other features than in training."""
        trained = self.connector.trained_text
        tokens = getattr(self.text_encoder, "fixed_length", None)
        if trained and trained.tokens and tokens and tokens != trained.tokens:
            warnings.warn(
                f"`connector` was trained with texts of {trained.tokens} tokens, but"
                f" `text_encoder` pads and cuts to {tokens} under length='fixed'; load it with"
                f" fixed_length={trained.tokens}",
                stacklevel=3,
            )
        kind = getattr(self.text_encoder, "kind", None)
        if trained and trained.language_model and kind and kind != trained.language_model:
            warnings.warn(
                f"`connector` was trained with a language model of the kind"
                f" {trained.language_model!r}, but `text_encoder` is of the kind {kind!r}; use the"
                " language model that the connector was trained with",
                stacklevel=3,
            )
        layer = getattr(self.text_encoder, "hidden_layer", None)
        if trained and layer != trained.hidden_layer:
            warnings.warn(
                f"`connector` was trained with hidden layer {trained.hidden_layer} of the language"
                f" model, but `text_encoder` gives {layer}; load it with"
                f" hidden_layer={trained.hidden_layer}",
                stacklevel=3,
            )

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path,
        *,
        dtype: torch.dtype | None = None,
        device: str | torch.device = "cpu",
        follow_pipeline: bool = True,
    ) -> Self:
        """What `save_pretrained` wrote; the hub is never asked.

        Args:
            folder: With `ella.json`, `connector.safetensors` and `text_encoder`.
            dtype: Of both; by default the connector's own, and of the text encoder as in
                `T5TextEncoder.from_pretrained`.
            device: Where to.
            follow_pipeline: As in `Ella`.

        Raises:
            ConnectorFileError: If the folder or its connector cannot be read.
            TextEncoderError: If its text encoder cannot be read.
        """
        connector, encoder = saving.load_pretrained(Path(folder), dtype, device)
        return cls(connector, encoder, follow_pipeline=follow_pipeline)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write connector, language model, tokenizer and how texts are encoded to a folder.

        Raises:
            ValueError: If the text encoder is not one of transformers.
        """
        saving.save_pretrained(Path(folder), self.connector, self.text_encoder)

    def to(self, device: str | torch.device) -> Self:
        """Move connector and language model; `generate` does so itself where it follows."""
        self.connector.to(device)
        module = module_of(self.text_encoder)
        if module is not None:
            module.to(device)
        return self

    def enable_model_cpu_offload(self) -> None:
        """Keep both on the CPU, and on the pipeline's device only while they work.

        So it is without this call where the pipeline itself is offloaded.
        """
        self.follow_pipeline = self._offloads = True
        self.to("cpu")

    def compile_connector(self, **torch_compile_arguments: Any) -> None:
        """Have `torch.compile` make the connector's steps; under `fixed` its shapes are static."""
        self._forward = torch.compile(self.connector.forward_projected, **torch_compile_arguments)

    def check_pipeline(self, pipeline: Any) -> None:
        """Raise unless this pipeline can be shown the connector's tokens at each step.

        `generate` does so itself; here it is known before anything is drawn.

        Raises:
            UnsupportedPipelineError: If the widths differ, there is no U-Net or transformer that
                reads tokens, or pipelines of this class cannot be drawn with.
        """
        config = self.connector.config
        check_denoiser(pipeline, config.width, config.pooled_width)
        check_pipeline_class(pipeline)

    @contextmanager
    def on(self, pipeline: Any, **defaults: Any) -> Iterator[EllaPipeline]:
        """Give a callable like the pipeline, drawing with ELLA, for the length of the block.

        Nothing is registered on the pipeline. Features of negative prompts are computed once for
        all calls, and their tokens once for calls in a row of one schedule.

        Args:
            pipeline: As in `generate`.
            **defaults: Arguments of `generate` for each call.

        Raises:
            UnsupportedPipelineError: If the pipeline cannot be drawn with.
        """
        self.check_pipeline(pipeline)
        drawing = EllaPipeline(self, pipeline, defaults)
        try:
            yield drawing
        finally:
            drawing.close()

    def generate(
        self,
        pipeline: Any,
        prompt: Texts,
        *,
        negative_prompt: Texts | None = None,
        length: Length | None = None,
        with_clip: bool = False,
        positive_only: bool = False,
        **pipeline_arguments: Any,
    ) -> Any:
        """What `pipeline(prompt, ...)` returns, with ELLA's conditions at every step.

        Nothing is registered on the pipeline or its networks, before, during or after the call.

        Args:
            pipeline: A Stable Diffusion pipeline of diffusers: text-to-image, image-to-image,
                inpainting, or any of them with ControlNet; of SDXL's shape too; AnimateDiff;
                PixArt-alpha and -sigma, Stable Diffusion 3.
            prompt: One text or several.
            negative_prompt: One for all, or one for each; by default the empty text.
            length: `fixed` (128 tokens, padded and truncated) or `flexible` (each text at its own
                length, never truncated). By default as the connector's file says that it was
                trained, and where it does not, as the released one's, `fixed`.
            with_clip: Whether CLIP's 77 tokens follow ELLA's 64: brings back what speaks through
                CLIP, such as LoRA trigger words and textual inversion.
            positive_only: Whether the negative prompts are CLIP's alone, without ELLA. The U-Net
                is called for the two halves of guidance one after the other.
            **pipeline_arguments: The pipeline's own: `generator`, `num_inference_steps`,
                `guidance_scale`, `num_images_per_prompt`, `callback_on_step_end`, `image`, ...

        Raises:
            ValueError: If an argument does not fit.
            TypeError: If the pipeline takes no such argument.
            UnsupportedPipelineError: If this pipeline cannot be shown other conditions at each
                step, or was about to be shown those of a wrong timestep.
        """
        return self._draw(
            pipeline,
            prompt,
            negative_prompt,
            {"length": length, "with_clip": with_clip, "positive_only": positive_only},
            pipeline_arguments,
            None,
        )

    @torch.no_grad()
    def _draw(
        self,
        pipeline: Any,
        prompt: Texts,
        negative_prompt: Texts | None,
        how: Mapping[str, Any],
        pipeline_arguments: dict[str, Any],
        memory: Memory | None,
    ) -> Any:
        self.check_pipeline(pipeline)
        arguments = call_arguments(pipeline, pipeline_arguments)
        trained = self.connector.trained_text
        prompts, guided = _as_texts("prompt", prompt), _is_guided(arguments)
        check_prompts(pipeline, len(prompts))
        call = _Call(
            arguments,
            prompts,
            _negatives(negative_prompt, len(prompts)) if guided else None,
            guided,
            how["length"] or (trained.length if trained else "fixed"),
            how["with_clip"],
            how["positive_only"],
            memory,
        )
        if not call.with_clip:
            warn_of_silent_tokens(pipeline, [*call.prompts, *call.negative_texts])
        own = self._own_texts(pipeline, call)
        conditions = self._conditions(pipeline, call, own)
        positive, negative = conditions.at(0)
        passed = {k: v for k, v in pipeline_arguments.items() if k not in SECOND_TEXTS}
        passed |= {"prompt_embeds": positive, "negative_prompt_embeds": negative}
        passed |= _pooled(conditions, call, own)
        if is_drawn_by_network(pipeline):
            return draw_by_network(pipeline, conditions, call.repeats, passed)
        passed |= _callback_arguments(conditions, call)
        if takes_rows_as_they_are(pipeline):
            passed |= _repeated(passed, call.repeats)
        if not conditions.is_ragged:
            return pipeline(**passed)
        return _draw_ragged(pipeline, conditions, call, passed)

    def _own_texts(self, pipeline: Any, call: _Call) -> OwnTexts | None:
        """What the pipeline's own encoders say, where it is wanted; checked that it has any."""
        pools = self.connector.config.pooled_width
        pooled = is_sdxl(pipeline) and not pools and call.arguments.get(POOLED[0]) is None
        wanted = {
            "with_clip": call.with_clip,
            "positive_only": call.positive_only and call.guided,
        }
        for name in [name for name, value in wanted.items() if value]:
            if getattr(pipeline, "unet", None) is None:
                raise ValueError(f"`{name}` is of U-Nets told by CLIP: {type(pipeline).__name__}")
            if not has_own_encoders(pipeline):
                raise ValueError(f"`{name}` needs a pipeline with a `text_encoder`, got None")
        if pooled and not has_own_encoders(pipeline):
            raise ValueError(
                f"{type(pipeline).__name__}: has no text encoders for the pooled embeddings that"
                " its U-Net wants; pass `pooled_prompt_embeds` and `negative_pooled_prompt_embeds`"
            )
        if not pooled and not any(wanted.values()):
            return None
        return encode_own(pipeline, call.arguments, call.prompts, call.negatives, call.guided)

    def _conditions(self, pipeline: Any, call: _Call, own: OwnTexts | None) -> GuidedConditions:
        device = pipeline._execution_device
        negatives = list(dict.fromkeys(call.negative_texts))
        apart = negatives if call.memory is not None else []
        texts = list(dict.fromkeys([*call.prompts, *([] if apart else negatives)]))
        returns = self._offloads or is_offloaded(pipeline)
        encoder = module_of(self.text_encoder) if self.follow_pipeline else None
        with working_on(encoder, device, returns=returns):
            self._remember_features(apart, call)
            features = self.text_encoder.encode(texts, call.length)
        connector = self.connector if self.follow_pipeline else None
        with working_on(connector, device, returns=returns):
            timesteps = predict_timesteps(pipeline, call.arguments, device)
            target = {"device": device, "dtype": network_of(pipeline).dtype}
            steps = StepConditions(
                self.connector, features, timesteps, forward=self._forward, **target
            )
            others = self._remembered_steps(apart, call, timesteps, target)
            for made in (steps, others) if returns else ():
                if made is not None:
                    made.finish()
        index = {text: i for i, text in enumerate(apart or texts)}
        negative = [index[text] for text in call.negative_texts] or None
        index = {text: i for i, text in enumerate(texts)}
        alone = call.guided and call.positive_only
        return GuidedConditions(
            steps,
            positive=[index[text] for text in call.prompts],
            negative=negative,
            clip_positive=own.positive if own and call.with_clip else None,
            clip_negative=own.negative if own and (call.with_clip or alone) else None,
            other_steps=others,
        )

    def _remember_features(self, negatives: list[str], call: _Call) -> None:
        """Features of negative prompts that stay, each text encoded alone.

        So they are the same whatever else was in the call that needed them first.
        """
        for text in negatives:
            assert call.memory is not None
            if (text, call.length) not in call.memory.features:
                (features,) = self.text_encoder.encode([text], call.length)
                call.memory.features[text, call.length] = features

    def _remembered_steps(
        self, negatives: list[str], call: _Call, timesteps: Sequence[float], target: dict[str, Any]
    ) -> StepConditions | None:
        """Tokens of negative prompts that stay; made once for a schedule, so never compiled."""
        memory = call.memory
        if memory is None or not negatives:
            return None
        made_for = (*negatives, call.length, *timesteps, *target.values())
        if memory.steps is None or memory.made_for != made_for:
            features = [memory.features[text, call.length] for text in negatives]
            memory.steps = StepConditions(self.connector, features, timesteps, **target)
            memory.made_for = made_for
        return memory.steps


class EllaPipeline:
    """Calls like the pipeline's own, drawing with ELLA; all else is the pipeline's.

    `Ella.on` makes it and ends it.
    """

    def __init__(self, ella: Ella, pipeline: Any, defaults: Mapping[str, Any]) -> None:
        self._ella = ella
        self._pipeline = pipeline
        self._defaults = dict(defaults)
        self._memory = Memory()
        self._is_open = True

    def __call__(self, prompt: Texts, **arguments: Any) -> Any:
        """What `Ella.generate` returns.

        Raises:
            RuntimeError: If the block of `Ella.on` has ended.
        """
        if not self._is_open:
            raise RuntimeError("the block of Ella.on(pipeline) has ended; draw within it")
        merged = {**self._defaults, **arguments}
        how = {
            "length": merged.pop("length", None),
            "with_clip": merged.pop("with_clip", False),
            "positive_only": merged.pop("positive_only", False),
        }
        negative = merged.pop("negative_prompt", None)
        return self._ella._draw(self._pipeline, prompt, negative, how, merged, self._memory)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pipeline, name)

    def close(self) -> None:
        """Forget the texts; no call draws any more."""
        self._is_open = False
        self._memory.clear()


def _draw_ragged(
    pipeline: Any, conditions: GuidedConditions, call: _Call, passed: dict[str, Any]
) -> Any:
    """A call where rows have different numbers of tokens: on a copy of the pipeline."""
    if "num_frames" in inspect.signature(type(pipeline).__call__).parameters:
        raise ValueError(
            f"{type(pipeline).__name__}: prompt and negative prompt have different numbers of"
            " tokens, which videos cannot have; use length='fixed', without positive_only"
        )
    counts = counts_for(conditions.positive_counts, conditions.negative_counts, call.repeats)
    drawn = for_ragged_rows(pipeline, counts)(**passed)
    pipeline.maybe_free_model_hooks()
    return drawn


def _pooled(conditions: GuidedConditions, call: _Call, own: OwnTexts | None) -> dict[str, Any]:
    """Pooled embeddings as arguments of the pipeline: the connector's, else its own encoders'.

    The user's own, where they were passed, stay.
    """
    if call.arguments.get(POOLED[0]) is not None:
        return {}
    positive, negative = conditions.pooled()
    of_clip = own.pooled if own else {}
    if positive is None:
        return of_clip
    if negative is None and POOLED[1] in of_clip:  # negative prompts are CLIP's alone
        negative = of_clip[POOLED[1]]
    return {POOLED[0]: positive} | ({} if negative is None else {POOLED[1]: negative})


def _repeated(passed: Mapping[str, Any], repeats: int) -> dict[str, Any]:
    """The first step's embeddings, each as often as its prompt has images."""
    names = ("prompt_embeds", "negative_prompt_embeds", *POOLED)
    rows = {name: passed[name] for name in names if passed.get(name) is not None}
    repeated = {name: value.repeat_interleave(repeats, dim=0) for name, value in rows.items()}
    return {**repeated, "num_images_per_prompt": 1}


def _callback_arguments(conditions: GuidedConditions, call: _Call) -> dict[str, Any]:
    """ELLA's callback, before the user's own, and the tensors that either asks for."""
    then = call.arguments["callback_on_step_end"]
    wanted = getattr(then, "tensor_inputs", None)  # of a diffusers PipelineCallback
    if wanted is None:
        wanted = call.arguments["callback_on_step_end_tensor_inputs"]
    return {
        "callback_on_step_end": NextStepConditions(conditions, call.repeats, then),
        "callback_on_step_end_tensor_inputs": list(dict.fromkeys(["prompt_embeds", *wanted])),
    }


def _is_guided(arguments: Mapping[str, Any]) -> bool:
    return bool(arguments["guidance_scale"] > 1)


def _as_texts(name: str, texts: Texts) -> list[str]:
    listed = [texts] if isinstance(texts, str) else list(texts)
    if not listed or not all(isinstance(text, str) for text in listed):
        raise ValueError(f"`{name}` must be a text or a list of at least one, got {texts!r}")
    return listed


def _negatives(negative_prompt: Texts | None, num_prompts: int) -> list[str] | None:
    if negative_prompt is None:
        return None
    if isinstance(negative_prompt, str):
        return [negative_prompt] * num_prompts
    listed = _as_texts("negative_prompt", negative_prompt)
    if len(listed) != num_prompts:
        raise ValueError(
            f"`negative_prompt` must be one text or one for each of the {num_prompts} prompts,"
            f" got {len(listed)}"
        )
    return listed
