"""The table of generators: what can be named, and what it runs with.

Models that are run as their pipeline class is come from published_models.toml.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dpgbench.backends.entries import EmbeddedWeights, HuggingFace, ModelEntry, Role
from dpgbench.backends.generators.published_models import (
    PublishedModel,
    published_model,
    published_models,
)
from dpgbench.backends.import_class import is_own_class
from dpgbench.errors import UsageError, unknown_name
from ella.config import TRAINED_LENGTH

_STABLE_DIFFUSION = "dpgbench.backends.generators.stable_diffusion"
_HUB_PIPELINE = "dpgbench.backends.generators.hub_pipeline:HubPipeline"
_SD15_NOISE = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "steps_offset": 1,
    "prediction_type": "epsilon",
    "algorithm_type": "dpmsolver++",
    "solver_order": 2,
    "solver_type": "midpoint",
    "timestep_spacing": "linspace",
    "lower_order_final": True,
    "use_karras_sigmas": False,
}
# As ELLA's own demonstration draws; the paper states no settings. Both models of a pair share them,
# so that the pair isolates the encoder.
_SD15: Mapping[str, Any] = {
    **published_models()["ella-sd15"].settings,
    "scheduler": published_models()["ella-sd15"].value("scheduler"),
    "scheduler_config": _SD15_NOISE,
}
# As the embedded models were trained: the same noise, v-prediction.
_TINY: Mapping[str, Any] = {
    **_SD15,
    "width_px": 64,
    "height_px": 64,
    "steps": 20,
    "guidance_scale": 1.5,
    "scheduler_config": {
        **_SD15_NOISE,
        "prediction_type": "v_prediction",
        "timestep_spacing": "trailing",
    },
}
_BASE = Role(
    "base",
    HuggingFace(
        published_models()["sd15"].repository,
        required=("model_index.json",),
        is_pipeline=True,
        revision=published_models()["sd15"].value("revision"),
    ),
    "a folder in diffusers' layout (model_index.json)",
)
_ELLA = "QQGYLab/ELLA"
_ELLA_FILE = "ella-sd1.5-tsc-t5xl.safetensors"
_T5_FOLDER = "models--google--flan-t5-xl--text_encoder"
_CONNECTOR = Role(
    "connector",
    HuggingFace(_ELLA, _ELLA_FILE, required=(_ELLA_FILE,), files=(_ELLA_FILE,)),
    "a safetensors file",
)
_TEXT_ENCODER = Role(
    "text_encoder",
    HuggingFace(
        _ELLA, _T5_FOLDER, required=(f"{_T5_FOLDER}/config.json",), files=(f"{_T5_FOLDER}/*",)
    ),
    "a folder with the language model that the connector was trained with (a T5's encoder, a "
    "decoder, a vision-language model) and its tokenizer",
)
_TINY_BASE = Role("base", EmbeddedWeights("sd15"), _BASE.what)

_ELLA_RARE: Mapping[str, Any] = {
    "positive_only": False,
    "text_tokens": TRAINED_LENGTH,
    "text_layer": None,
    "compile_connector": False,
}
_FOLDER = "a folder in diffusers' layout"
# Parts of pipelines that come from other repositories: what a path must be, and what is fetched.
_EXTRA_FILES = ("config.json", "generation_config.json", "model*.safetensors*", "*token*")


def _ella(
    name: str,
    summary: str,
    *,
    variant_of: str = "",
    changes: Mapping[str, Any] | None = None,
    **options: Any,
) -> ModelEntry:
    """Return an entry of ELLA on Stable Diffusion 1.5.

    Args:
        name: of the entry.
        summary: what it is.
        variant_of: the entry that it is with other settings.
        changes: of the settings.
        options: that its name chooses.
    """
    return ModelEntry(
        name,
        summary,
        f"{_STABLE_DIFFUSION}:EllaStableDiffusion",
        {**_SD15, **(changes or {})},
        (_BASE, _CONNECTOR, _TEXT_ENCODER),
        options={"text_length": "flexible", "with_clip": False},
        rare_options=_ELLA_RARE,
        variant_of=variant_of,
        variant_options=options,
    )


def _published(model: PublishedModel) -> ModelEntry:
    """Return the entry of a model that is run as its pipeline class is."""
    base = HuggingFace(
        model.repository,
        required=("model_index.json",),
        is_pipeline=True,
        revision=model.value("revision"),
        variant=model.value("variant"),
    )
    extra = (
        Role(
            role, HuggingFace(fact.value, required=("config.json",), files=_EXTRA_FILES), "a folder"
        )
        for role, fact in model.extra.items()
    )
    return ModelEntry(
        model.name,
        model.summary,
        _HUB_PIPELINE,
        model.settings,
        (Role("base", base, _FOLDER), *extra),
        options={"prompt_suffix": "", **model.call_arguments},
        packages=tuple((model.value("packages") or "").split()),
    )


MODELS: dict[str, ModelEntry] = {
    entry.name: entry
    for entry in (
        _ella(
            "ella-sd15",
            "ELLA: Stable Diffusion 1.5 told by Flan-T5-XL through the released connector",
        ),
        _ella(
            "ella-sd15-fixed",
            "ella-sd15 with texts padded and cut to 128 tokens, as in training",
            variant_of="ella-sd15",
            text_length="fixed",
        ),
        _ella(
            "ella-sd15-with-clip",
            "ella-sd15 with CLIP's 77 tokens after ELLA's 64",
            variant_of="ella-sd15",
            with_clip=True,
        ),
        _ella(
            "ella-sd15-main",
            "ella-sd15 with the steps and guidance of main() in ELLA's inference.py",
            variant_of="ella-sd15",
            changes={"steps": 50, "guidance_scale": 12.0},
        ),
        ModelEntry(
            "sd15",
            "Stable Diffusion 1.5 told by its own CLIP (77 tokens): the baseline of ella-sd15",
            f"{_STABLE_DIFFUSION}:StableDiffusion",
            _SD15,
            (_BASE,),
        ),
        ModelEntry(
            "tiny-ella-sd15",
            "embedded: ella-sd15 in miniature, trained on the small world: draws 64 px shapes",
            f"{_STABLE_DIFFUSION}:TinyEllaStableDiffusion",
            _TINY,
            (
                _TINY_BASE,
                Role("connector", EmbeddedWeights("ella/connector.safetensors"), _CONNECTOR.what),
                Role("text_encoder", EmbeddedWeights("ella/text_encoder"), _TEXT_ENCODER.what),
            ),
            benchmark="shapes",
            world="shapes",
            options={"text_length": "fixed", "with_clip": False},  # as its connector was trained
            rare_options=_ELLA_RARE,
        ),
        ModelEntry(
            "tiny-sd15",
            "embedded: sd15 in miniature, trained on the small world: draws 64 px shapes",
            f"{_STABLE_DIFFUSION}:TinyStableDiffusion",
            _TINY,
            (_TINY_BASE,),
            benchmark="shapes",
            world="shapes",
        ),
        *(_published(model) for model in published_models().values() if model.summary),
    )
}
HUB_FAMILY = "hf:"
SERVER_FAMILY = "images-api:"
FORMS = {
    "hf:ORG/REPO": "any diffusers text-to-image pipeline of the hub, or hf:FOLDER",
    "images-api:MODEL": "a model of an OpenAI-compatible server of images; see docs/images-api.md",
    "package.module:Class": "a class of your own; see docs/models.md",
}


def find_model(name: str) -> ModelEntry:
    """Return the entry that `name` stands for, beyond the table too.

    Raises:
        UsageError: nothing answers to it; near names are offered.
    """
    if name in MODELS:
        return MODELS[name]
    family, colon, argument = name.partition(":")
    if family + colon == HUB_FAMILY:
        return _hub_entry(name, argument)
    if family + colon == SERVER_FAMILY:
        return _server_entry(name, argument)
    if is_own_class(name):
        return ModelEntry(
            name,
            "a class of your own",
            "dpgbench.backends.generators.own_class:OwnClass",
            {"width_px": 512, "height_px": 512},
        )
    raise unknown_name("model", name, [*MODELS, *FORMS], listing="dpgbench models")


def model_facts(name: str) -> PublishedModel | None:
    """Return what the table of published models says of a run's model; of a variant, its model's.

    Args:
        name: as in ``--model``, with ``hf:`` or without.
    """
    plain = name.removeprefix(HUB_FAMILY)
    entry = MODELS.get(plain)
    return published_model(entry.variant_of if entry and entry.variant_of else plain)


def _server_entry(name: str, model: str) -> ModelEntry:
    if not model:
        raise UsageError(f"--model {name}: write images-api:MODEL, with a model of the server")
    return ModelEntry(
        name,
        f"the model {model} of a server of images",
        "dpgbench.backends.generators.images_api.generator:ImagesApi",
        {"width_px": 1024, "height_px": 1024, "dtype": "float32"},
        options={"base_url": "", "quality": ""},
        on_device=False,
    )


def _hub_entry(name: str, repository: str) -> ModelEntry:
    if not repository:
        raise UsageError(f"--model {name}: write hf:ORG/REPO or hf:FOLDER")
    source = HuggingFace(repository, is_pipeline=True, or_folder=True)
    role = Role("base", source, _FOLDER)
    return ModelEntry(
        name,
        f"the diffusers pipeline {repository}",
        _HUB_PIPELINE,
        {},
        (role,),
    )
