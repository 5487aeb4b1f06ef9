"""ELLA for diffusers: a language model as Stable Diffusion's text encoder (arXiv 2403.05135).

    from ella import Ella, T5TextEncoder, TimestepAwareSemanticConnector

    ella = Ella(
        TimestepAwareSemanticConnector.from_safetensors("ella-sd1.5-tsc-t5xl.safetensors"),
        T5TextEncoder.from_pretrained("flan-t5-xl-text-encoder"),
    )
    image = ella.generate(pipeline, "a dense prompt").images[0]

All that is public is named here, and imported on first use: torch, diffusers and transformers
take seconds to import.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ella.config import ConnectorConfig, Length, TrainedText
    from ella.connector import TimestepAwareSemanticConnector
    from ella.connector_base import Connector
    from ella.errors import (
        ConnectorFileError,
        EllaError,
        IncompleteWeightsError,
        ResumeError,
        TextEncoderError,
        TrainingDataError,
        TrainingError,
        UnsupportedPipelineError,
    )
    from ella.pipeline import Ella
    from ella.text_encoder import (
        PrecisionWarning,
        T5TextEncoder,
        TextEncoder,
        TransformersTextEncoder,
    )
    from ella.training.config import TrainConfig
    from ella.training.data import FolderPairs, ImagePairs
    from ella.training.run import new_connector, train_connector

_MODULE_OF = {
    "Connector": "ella.connector_base",
    "ConnectorConfig": "ella.config",
    "ConnectorFileError": "ella.errors",
    "Ella": "ella.pipeline",
    "EllaError": "ella.errors",
    "FolderPairs": "ella.training.data",
    "ImagePairs": "ella.training.data",
    "IncompleteWeightsError": "ella.errors",
    "Length": "ella.config",
    "PrecisionWarning": "ella.text_encoder",
    "ResumeError": "ella.errors",
    "T5TextEncoder": "ella.text_encoder",
    "TextEncoder": "ella.text_encoder",
    "TextEncoderError": "ella.errors",
    "TimestepAwareSemanticConnector": "ella.connector",
    "TrainConfig": "ella.training.config",
    "TrainedText": "ella.config",
    "TrainingDataError": "ella.errors",
    "TrainingError": "ella.errors",
    "TransformersTextEncoder": "ella.text_encoder",
    "UnsupportedPipelineError": "ella.errors",
    "new_connector": "ella.training.run",
    "train_connector": "ella.training.run",
}

__all__ = [
    "Connector",
    "ConnectorConfig",
    "ConnectorFileError",
    "Ella",
    "EllaError",
    "FolderPairs",
    "ImagePairs",
    "IncompleteWeightsError",
    "Length",
    "PrecisionWarning",
    "ResumeError",
    "T5TextEncoder",
    "TextEncoder",
    "TextEncoderError",
    "TimestepAwareSemanticConnector",
    "TrainConfig",
    "TrainedText",
    "TrainingDataError",
    "TrainingError",
    "TransformersTextEncoder",
    "UnsupportedPipelineError",
    "new_connector",
    "train_connector",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'ella' has no attribute {name!r}")
    return getattr(import_module(_MODULE_OF[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
