"""The table of generators. What a model runs with stands here and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dpgbench.backends.entries import EmbeddedWeights, HuggingFace, ModelEntry, Role
from dpgbench.backends.import_class import is_own_class
from dpgbench.errors import UsageError, unknown_name

_STABLE_DIFFUSION = "dpgbench.backends.generators.stable_diffusion"
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
# Scheduler, steps and guidance of ELLA's own demonstration (inference.py at commit 3c228f1);
# the paper states none. Both models of a pair share them, so that the pair isolates the encoder.
_SD15: Mapping[str, Any] = {
    "width_px": 512,
    "height_px": 512,
    "steps": 25,
    "guidance_scale": 10.0,
    "scheduler": "DPMSolverMultistepScheduler",
    "scheduler_config": _SD15_NOISE,
    "negative_prompt": "",
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
        "stable-diffusion-v1-5/stable-diffusion-v1-5",
        required=("model_index.json",),
        is_pipeline=True,
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
    "a folder with a T5 encoder and its tokenizer",
)
_TINY_BASE = Role("base", EmbeddedWeights("sd15"), _BASE.what)

MODELS: dict[str, ModelEntry] = {
    entry.name: entry
    for entry in (
        ModelEntry(
            "ella-sd15",
            "ELLA: Stable Diffusion 1.5 told by Flan-T5-XL through the released connector",
            f"{_STABLE_DIFFUSION}:EllaStableDiffusion",
            _SD15,
            (_BASE, _CONNECTOR, _TEXT_ENCODER),
            options={"text_length": "flexible", "with_clip": False},
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
    )
}
HUB_FAMILY = "hf:"
FORMS = {
    "hf:ORG/REPO": "any diffusers text-to-image pipeline of the hub, or hf:FOLDER",
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
    if is_own_class(name):
        return ModelEntry(
            name,
            "a class of your own",
            "dpgbench.backends.generators.own_class:OwnClass",
            {"width_px": 512, "height_px": 512},
        )
    raise unknown_name("model", name, [*MODELS, *FORMS], listing="dpgbench models")


def _hub_entry(name: str, repository: str) -> ModelEntry:
    if not repository:
        raise UsageError(f"--model {name}: write hf:ORG/REPO or hf:FOLDER")
    source = HuggingFace(repository, is_pipeline=True, or_folder=True)
    role = Role("base", source, "a folder in diffusers' layout")
    return ModelEntry(
        name,
        f"the diffusers pipeline {repository}",
        "dpgbench.backends.generators.hub_pipeline:HubPipeline",
        {},
        (role,),
    )
