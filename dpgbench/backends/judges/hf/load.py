"""Loading a model of Hugging Face: which family it is, its network, its processor.

Only classes of the installed transformers are built, only from safetensors, and every weight of
the network must be in them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Literal

from dpgbench.backends.judges.hf.files import ModelFiles
from dpgbench.backends.loading import loading, quiet
from dpgbench.errors import SetupError, UsageError, clipped, shortened

Family = Literal["image-text-to-text", "blip-vqa"]
AUTO_CLASSES: dict[Family, str] = {
    "image-text-to-text": "AutoModelForImageTextToText",
    "blip-vqa": "AutoModelForVisualQuestionAnswering",
}
_BLIP_VQA = "BlipForQuestionAnswering"
_LOCAL = {"local_files_only": True, "trust_remote_code": False}


@contextlib.contextmanager
def loading_files(subject: str) -> Iterator[None]:
    """Turn what transformers raises about a model's files into one line; keep its log back.

    Raises:
        SetupError: names the subject, the reason and a remedy.
    """
    remedy = "check its files, or upgrade transformers (pip install -U transformers)"
    with loading(subject, remedy), quiet("transformers", logs=False):
        yield


def read_kind(files: ModelFiles) -> tuple[str, str]:
    """Return the type of model that a configuration states, and its class.

    Raises:
        SetupError: it needs code of its own, a newer transformers, or to be fetched again.
    """
    import transformers

    config = files.config()
    kind = config.get("model_type")
    classes = config.get("architectures") or [kind]
    for name, value in (("model_type", [kind]), ("architectures", classes)):
        if not isinstance(value, list) or not all(isinstance(one, str | None) for one in value):
            raise SetupError(
                f"{files.subject}: {name} in {files.folder / 'config.json'} is "
                f"{clipped(config.get(name))}, not the name of a class; fetch it again"
            )
    if not isinstance(kind, str) or kind not in transformers.CONFIG_MAPPING:
        raise SetupError(_unknown(files.subject, kind, needs_code="auto_map" in config))
    return kind, classes[0] or kind


def find_family(files: ModelFiles) -> Family:
    """Return how the model is asked.

    Raises:
        SetupError: it needs code of its own, or a newer transformers.
        UsageError: it does not answer questions about images.
    """
    import transformers

    kind, network = read_kind(files)
    if kind == "blip" and network == _BLIP_VQA:
        return "blip-vqa"
    supported = transformers.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
    if kind == "blip" or transformers.CONFIG_MAPPING[kind] not in supported:
        raise UsageError(
            f"{files.subject}: {network} does not answer questions about images; name an "
            "image-text-to-text model (Qwen-VL, InternVL, LLaVA, SmolVLM, PaliGemma, ...) or a "
            f"{_BLIP_VQA}"
        )
    return "image-text-to-text"


def _unknown(subject: str, kind: Any, *, needs_code: bool) -> str:
    import transformers

    if needs_code:
        return (
            f"{subject} needs code from its repository (auto_map in config.json), which is "
            "never run; take a repository that transformers itself supports (often named ...-hf)"
        )
    return (
        f"{subject}: transformers {transformers.__version__} does not know model type "
        f"'{kind}'; run: pip install -U transformers"
    )


def load_model(files: ModelFiles, auto_class: str, device: str, dtype: str) -> Any:
    """Return the network on its device, ready to answer.

    Args:
        files: of the model.
        auto_class: name of the class of transformers that chooses the network's.
        device: where it runs.
        dtype: its precision.

    Raises:
        SetupError: weights are missing, damaged, or not this network's.
    """
    import torch
    import transformers

    files.require_safetensors()
    place = {} if device == "cpu" else {"device_map": {"": device}}
    with loading_files(files.subject):
        model, report = getattr(transformers, auto_class).from_pretrained(
            files.folder,
            dtype=getattr(torch, dtype),
            use_safetensors=True,
            ignore_mismatched_sizes=True,  # they are listed in the report, and refused below
            output_loading_info=True,
            **place,
            **_LOCAL,
        )
    mismatched = {key if isinstance(key, str) else key[0] for key in report["mismatched_keys"]}
    lacking = sorted({*report["missing_keys"], *mismatched})
    if lacking:
        raise SetupError(
            f"{files.subject}: its safetensors lack {len(lacking)} of the network's weights, "
            f"or have them in another size ({shortened(lacking, 3)}); fetch it again, or upgrade "
            "transformers (pip install -U transformers)"
        )
    return model.eval()


def load_processor(files: ModelFiles, model: Any) -> Any:
    """Return the model's processor: images and text to tensors.

    Processors of many families hold one for videos too, which cannot be built without
    torchvision. No judge needs it: without torchvision there is none.

    Raises:
        SetupError: its files are missing, or a package that it needs.
    """
    import transformers
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING
    from transformers.utils import is_torchvision_available

    config = model.config
    processor_class = PROCESSOR_MAPPING.get(type(config), None)
    with loading_files(files.subject):
        if (
            processor_class
            and "video_processor" in processor_class.get_attributes()
            and not is_torchvision_available()
        ):
            processor = _without_videos(files, processor_class)
        else:
            processor = transformers.AutoProcessor.from_pretrained(files.folder, **_LOCAL)
    if not hasattr(processor, "image_processor") or not hasattr(processor, "tokenizer"):
        raise SetupError(
            f"{files.subject}: {files.folder} lacks the files of its processor "
            "(processor_config.json or preprocessor_config.json); fetch the whole repository"
        )
    return processor


def _without_videos(files: ModelFiles, processor_class: Any) -> Any:
    """Return a processor with `_NoVideos` for a video processor."""
    import transformers

    def unchecked(self: Any, name: str, value: Any) -> None:
        """Let None pass."""

    own: Any = type(
        processor_class.__name__, (processor_class,), {"check_argument_for_proper_class": unchecked}
    )
    parts = {
        "image_processor": transformers.AutoImageProcessor,
        "tokenizer": transformers.AutoTokenizer,
    }
    arguments = [
        parts[name].from_pretrained(files.folder, **_LOCAL) if name in parts else None
        for name in processor_class.get_attributes()
    ]
    settings, _ = processor_class.get_processor_dict(files.folder, local_files_only=True)
    processor = own.from_args_and_dict(arguments, settings)
    processor.video_processor = _NoVideos()
    return processor


class _NoVideos:
    """Has no frames and no settings."""

    model_input_names: tuple[str, ...] = ()

    def __getattr__(self, name: str) -> None:
        """Return None: chat templates are told of settings that no image needs."""
        if name.startswith("__"):
            raise AttributeError(name)
