"""Stable Diffusion 1.5 and ELLA on it: one pipeline, two text encoders, all else alike."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from dpgbench.backends.device import single_thread
from dpgbench.backends.entries import EmbeddedWeights, ModelEntry
from dpgbench.backends.generators.compiling import compile_pipeline, compiling
from dpgbench.backends.generators.decoding import VaeWithinMemory
from dpgbench.backends.generators.diffusers_common import (
    build_scheduler,
    by_prompt,
    check_size,
    find_cut,
    generators,
    loading_model,
    parameters_of,
)
from dpgbench.backends.generators.hub_classes import read_config
from dpgbench.backends.generators.image_checks import draw_checked
from dpgbench.backends.generators.named_generator import ModelDefaults, NamedGenerator
from dpgbench.backends.generators.repeated_texts import encode_repeated_texts_once
from dpgbench.backends.generators.single_file import (
    CONFIGURED_BY,
    check_single_file,
    configuration_of,
    load_single_file,
)
from dpgbench.backends.protocols import Truncation
from dpgbench.backends.weights.locate import Weights
from dpgbench.domain.spec import GenerationSpec
from dpgbench.embedded import embedded_path
from dpgbench.errors import SetupError, UsageError
from ella.config import TRAINED_LENGTH, TrainedText

if TYPE_CHECKING:
    from PIL.Image import Image


_LATENT_PX = 8  # the VAE's reduction


class StableDiffusion(NamedGenerator):
    """The pipeline with its own CLIP: prompts are cut at 77 tokens."""

    has_compile = True

    def __init__(
        self, entry: ModelEntry, spec: GenerationSpec, weights: Mapping[str, Weights], device: str
    ) -> None:
        from ella.strict_loading import strict_loading

        self.spec = spec
        with loading_model(entry):
            with strict_loading("base"):
                pipeline = self._load_pipeline(weights).to(device)
            _check_parts(entry, pipeline)
            pipeline.scheduler = build_scheduler(spec)
        self._take(spec, pipeline)

    @classmethod
    def of(cls, spec: GenerationSpec, pipeline: Any) -> Self:
        """Return a generator with a pipeline that is in memory, and the pipeline's own scheduler.

        Args:
            spec: settings.
            pipeline: is changed in place, as a loaded one is.
        """
        generator = cls.__new__(cls)
        generator._take(spec, pipeline)
        return generator

    def _take(self, spec: GenerationSpec, pipeline: Any) -> None:
        self.spec, self.pipeline = spec, pipeline
        pipeline.set_progress_bar_config(disable=True)
        self.vae = VaeWithinMemory(pipeline.vae)
        encode_repeated_texts_once(pipeline)

    @staticmethod
    def takes_several_prompts(entry: ModelEntry, weights: Mapping[str, Weights]) -> bool:
        """Return True."""
        return True

    @staticmethod
    def check(spec: GenerationSpec, weights: Mapping[str, Weights]) -> None:
        """Raise where a setting or the base cannot be right."""
        _check_settings(spec, weights)
        foreign = _foreign_prediction(spec.model, spec.scheduler_config, weights["base"].path)
        if foreign:
            raise SetupError(foreign)

    @staticmethod
    def notes(
        entry: ModelEntry, weights: Mapping[str, Weights], chosen: frozenset[str], device: str
    ) -> list[str]:
        """Return what was assumed: whose configuration a base in one file is read with."""
        base = weights["base"].path
        foreign = _foreign_prediction(entry.name, entry.defaults["scheduler_config"], base)
        notes = [foreign] if foreign else []
        if base.is_file():
            source = configuration_of(base)
            beside = source == base.resolve().parent
            name = "the folder that it lies in" if beside else CONFIGURED_BY
            notes.append(
                f"{base.name} is a single file: configuration and tokenizer are those of {name}"
            )
        return notes

    def compile(self) -> None:
        """Have the U-Net and the VAE's decoder compiled when they are first called."""
        compile_pipeline(self.pipeline, same_shapes=True)

    @property
    def remark(self) -> str:
        """What must be said of the images that were drawn; "" for nothing."""
        return self.vae.remark

    def draw(self, prompt: str, seeds: Sequence[int]) -> list[Image]:
        """Return one image a seed."""
        return self._drawn([prompt], [seeds])[0]

    def draw_together(
        self, prompts: Sequence[str], seeds: Sequence[Sequence[int]]
    ) -> list[list[Image]]:
        """Return for each prompt one image a seed, all from one call of the pipeline."""
        return self._drawn(prompts, seeds)

    def _drawn(self, prompts: Sequence[str], seeds: Sequence[Sequence[int]]) -> list[list[Image]]:
        num_images = sum(map(len, seeds))
        with compiling():
            images = draw_checked(
                self.pipeline, num_images, lambda: self._call(list(prompts), seeds)
            )
        return by_prompt(images, seeds)

    def _call(self, prompts: list[str], seeds: Sequence[Sequence[int]]) -> Any:
        negative = self.spec.negative_prompt
        return self.pipeline(
            prompts,
            negative_prompt=[negative] * len(prompts) if negative else None,
            **self._arguments(seeds),
        )

    def truncation(self, prompts: Sequence[str]) -> Truncation:
        """Return which prompts CLIP cuts."""
        tokenizer = self.pipeline.tokenizer
        return find_cut(tokenizer, tokenizer.model_max_length, prompts)

    def num_parameters(self) -> Mapping[str, int]:
        """Return how many parameters each network has that an image is made with."""
        return parameters_of(self.pipeline.components)

    def _arguments(self, seeds: Sequence[Sequence[int]]) -> dict[str, Any]:
        return {
            "num_images_per_prompt": len(seeds[0]),
            "generator": generators([seed for own in seeds for seed in own]),
            "num_inference_steps": self.spec.steps,
            "guidance_scale": self.spec.guidance_scale,
            "width": self.spec.width_px,
            "height": self.spec.height_px,
            "output_type": "pil",
        }

    def _load_pipeline(self, weights: Mapping[str, Weights]) -> Any:
        import torch
        from diffusers import StableDiffusionPipeline

        if weights["base"].path.is_file():
            return load_single_file(weights["base"].path, getattr(torch, self.spec.dtype))
        return StableDiffusionPipeline.from_pretrained(
            str(weights["base"].path),
            dtype=getattr(torch, self.spec.dtype),
            use_safetensors=True,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )


def _check_settings(spec: GenerationSpec, weights: Mapping[str, Weights]) -> None:
    check_size(spec, _LATENT_PX)
    if spec.options.get("text_length", "fixed") not in ("fixed", "flexible"):
        raise UsageError(f"text_length '{spec.options['text_length']}': fixed or flexible")
    if weights["base"].path.is_file():
        check_single_file(weights["base"].path)


def _foreign_prediction(model: str, scheduler: Mapping[str, Any], base: Path) -> str | None:
    """Return what is wrong where a base predicts something else than the model takes it for."""
    own = read_config(base / "scheduler" / "scheduler_config.json").get("prediction_type")
    taken = scheduler.get("prediction_type")
    if own is None or own == taken:
        return None
    return (
        f"model {model}: the base in {base} predicts '{own}', but {model} draws with '{taken}', "
        f"which gives wrong pictures; draw it as --model hf:{base}"
    )


def _check_parts(entry: ModelEntry, pipeline: Any) -> None:
    """Raise unless the U-Net takes this text encoder's tokens alone, and draws from noise alone.

    Raises:
        SetupError: it is not a Stable Diffusion 1.x.
    """
    unet, clip, vae = pipeline.unet.config, pipeline.text_encoder.config, pipeline.vae.config
    more = unet.get("addition_embed_type") or unet.get("encoder_hid_dim_type")
    if more or unet.cross_attention_dim != clip.hidden_size:
        taken = f"'{more}'" if more else f"tokens of width {unet.cross_attention_dim}"
        raise SetupError(
            f"model {entry.name}: the base is no Stable Diffusion 1.x: its U-Net takes {taken}, "
            f"its text encoder gives tokens of width {clip.hidden_size}; draw it as "
            "--model hf:FOLDER"
        )
    if unet.in_channels != vae.latent_channels:
        raise SetupError(
            f"model {entry.name}: the U-Net of the base takes {unet.in_channels} channels, but the "
            f"VAE gives {vae.latent_channels}: it is for inpainting or editing; give a "
            "text-to-image base"
        )


class EllaStableDiffusion(StableDiffusion):
    """The same pipeline, conditioned on a language model through the connector at every step."""

    @staticmethod
    def defaults(entry: ModelEntry, weights: Mapping[str, Weights]) -> ModelDefaults:
        """Return how texts became features in training, as the connector's file says.

        Where it does not, a connector without latents has texts of one length: it gives as many
        tokens as the text has.
        """
        trained = _trained_text(weights)
        if trained is None:
            return ModelDefaults(options={} if _has_latents(weights) else {"text_length": "fixed"})
        options: dict[str, Any] = {"text_length": trained.length}
        if trained.tokens not in (None, TRAINED_LENGTH):
            options["text_tokens"] = trained.tokens
        if trained.hidden_layer is not None:
            options["text_layer"] = trained.hidden_layer
        return ModelDefaults(options=options)

    @staticmethod
    def notes(
        entry: ModelEntry, weights: Mapping[str, Weights], chosen: frozenset[str], device: str
    ) -> list[str]:
        """Return what was assumed: also of the texts, where the connector's file does not say."""
        notes = StableDiffusion.notes(entry, weights, chosen, device)
        source = next(role.source for role in entry.roles if role.name == "connector")
        kind = read_config(weights["text_encoder"].path / "config.json").get("model_type", "t5")
        trained = _trained_text(weights)
        if kind != "t5" and (trained is None or trained.language_model is None):
            notes.append(
                f"the text encoder is of the kind '{kind}', but the connector's file does not say "
                "that it was trained with such a one; with another than in training pictures mean "
                "nothing"
            )
        ships = isinstance(source, EmbeddedWeights) and weights["connector"].path == embedded_path(
            source.part
        )
        if not ships and "text_length" not in chosen and _trained_text(weights) is None:
            length = entry.options["text_length"] if _has_latents(weights) else "fixed"
            notes.append(
                f"text_length {length} is assumed: the connector's file does "
                "not say how long its texts were in training (--option text_length=fixed or "
                "flexible)"
            )
        return notes

    def __init__(
        self, entry: ModelEntry, spec: GenerationSpec, weights: Mapping[str, Weights], device: str
    ) -> None:
        super().__init__(entry, spec, weights, device)
        with loading_model(entry):
            self._take_ella(self._load_ella(weights, device))
        if spec.options.get("compile_connector"):
            self.ella.compile_connector()

    @classmethod
    def with_ella(cls, spec: GenerationSpec, pipeline: Any, ella: Any) -> Self:
        """Return a generator with a pipeline and an `Ella` that are in memory, as `of` does."""
        generator = cls.of(spec, pipeline)
        generator._take_ella(ella)
        return generator

    def _take_ella(self, ella: Any) -> None:
        self.ella = ella
        self._drawing_with = ExitStack()
        self._with_ella = self._drawing_with.enter_context(ella.on(self.pipeline))

    def compile(self) -> None:
        """Have the connector compiled too; its shapes are the same where texts have one length."""
        super().compile()
        same_shapes = self.spec.options["text_length"] == "fixed"
        self.ella.compile_connector(dynamic=False if same_shapes else None)

    def _call(self, prompts: list[str], seeds: Sequence[Sequence[int]]) -> Any:
        return self._with_ella(
            prompts,
            negative_prompt=self.spec.negative_prompt,
            length=self.spec.options["text_length"],
            with_clip=self.spec.options["with_clip"],
            positive_only=self.spec.options.get("positive_only", False),
            **self._arguments(seeds),
        )

    def num_parameters(self) -> Mapping[str, int]:
        """Return how many parameters each network has: CLIP counts where it is asked, too."""
        parts = dict(self.pipeline.components)
        if not self.spec.options["with_clip"]:
            parts.pop("text_encoder", None)
        parts["connector"] = self.ella.connector
        parts["language_model"] = getattr(self.ella.text_encoder, "model", None)
        return parameters_of(parts)

    def truncation(self, prompts: Sequence[str]) -> Truncation:
        """Return which prompts the language model cuts: none at flexible length."""
        if self.spec.options["text_length"] == "flexible":
            return Truncation(None)
        encoder = self.ella.text_encoder
        return find_cut(encoder.tokenizer, encoder.fixed_length, prompts)

    def _load_ella(self, weights: Mapping[str, Weights], device: str) -> Any:
        import torch

        from ella import Connector, Ella
        from ella.text_encoder import load_text_encoder

        dtype = getattr(torch, self.spec.dtype)
        connector = Connector.from_safetensors(
            weights["connector"].path, dtype=dtype, device=device
        )
        encoder = load_text_encoder(
            weights["text_encoder"].path,
            dtype=dtype,
            device=device,
            fixed_length=_whole_number(self.spec, "text_tokens", TRAINED_LENGTH),
            hidden_layer=_whole_number(self.spec, "text_layer", None),
        )
        return Ella(connector, encoder)


def _whole_number(spec: GenerationSpec, option: str, default: int | None) -> Any:
    """Return an option's number; from the command line it comes as text."""
    value = spec.options.get(option, default)
    try:
        return None if value is None else int(value)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{option} '{value}': a whole number") from error


def _has_latents(weights: Mapping[str, Weights]) -> bool:
    from ella.connector_file import has_latents
    from ella.errors import ConnectorFileError

    try:
        return has_latents(weights["connector"].path)
    except ConnectorFileError:  # loading it says what is wrong
        return True


def _trained_text(weights: Mapping[str, Weights]) -> TrainedText | None:
    from ella.connector_file import read_trained_text
    from ella.errors import ConnectorFileError

    try:
        return read_trained_text(weights["connector"].path)
    except ConnectorFileError:  # loading it says what is wrong
        return None


class TinyStableDiffusion(StableDiffusion):
    """`StableDiffusion` in miniature, on one core."""

    @staticmethod
    def check(spec: GenerationSpec, weights: Mapping[str, Weights]) -> None:
        """Raise where a setting cannot be right; of another kind of base a note tells."""
        _check_settings(spec, weights)

    def _drawn(self, prompts: Sequence[str], seeds: Sequence[Sequence[int]]) -> list[list[Image]]:
        with single_thread():
            return super()._drawn(prompts, seeds)


class TinyEllaStableDiffusion(EllaStableDiffusion):
    """`EllaStableDiffusion` in miniature, on one core."""

    @staticmethod
    def check(spec: GenerationSpec, weights: Mapping[str, Weights]) -> None:
        """Raise where a setting cannot be right; of another kind of base a note tells."""
        _check_settings(spec, weights)

    def _drawn(self, prompts: Sequence[str], seeds: Sequence[Sequence[int]]) -> list[list[Image]]:
        with single_thread():
            return super()._drawn(prompts, seeds)

    def _load_ella(self, weights: Mapping[str, Weights], device: str) -> Any:
        from ella import PrecisionWarning

        with warnings.catch_warnings():  # it is about the released connector, not about this one
            warnings.simplefilter("ignore", PrecisionWarning)
            return super()._load_ella(weights, device)
