"""A folder that holds all of an `Ella`: connector, language model, how texts are encoded.

ella.json                the text encoder's settings
connector.safetensors    weights, kind, sizes, texts in training
text_encoder/            network and tokenizer, as transformers writes them
"""

from __future__ import annotations

import json
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any

from ella.connector_base import Connector
from ella.errors import ConnectorFileError
from ella.files import replacing
from ella.text_encoder import (
    TextEncoder,
    TransformersTextEncoder,
    load_text_encoder,
)

if TYPE_CHECKING:
    import torch

SETTINGS_FILE = "ella.json"
CONNECTOR_FILE = "connector.safetensors"
TEXT_ENCODER_FOLDER = "text_encoder"
_SETTINGS: dict[str, tuple[type, ...]] = {
    "fixed_length": (int,),
    "mask_padding": (bool,),
    "hidden_layer": (int, NoneType),
}
"""What the file holds, and the types that each can be of."""


def save_pretrained(folder: Path, connector: Connector, text_encoder: TextEncoder) -> None:
    """Write both to `folder`, which is made.

    Raises:
        ValueError: If the text encoder is not one of transformers.
    """
    if not isinstance(text_encoder, TransformersTextEncoder):
        raise ValueError(
            f"`text_encoder` must be a TransformersTextEncoder to be saved, got"
            f" {type(text_encoder).__name__}; save the connector with save_safetensors"
        )
    folder.mkdir(parents=True, exist_ok=True)
    connector.save_safetensors(folder / CONNECTOR_FILE)
    text_encoder.model.save_pretrained(folder / TEXT_ENCODER_FOLDER)
    text_encoder.tokenizer.save_pretrained(folder / TEXT_ENCODER_FOLDER)
    settings = {name: getattr(text_encoder, name) for name in _SETTINGS}
    with replacing(folder / SETTINGS_FILE) as part:
        part.write_text(json.dumps(settings, indent=1, sort_keys=True), encoding="utf-8")


def load_pretrained(
    folder: Path, dtype: torch.dtype | None, device: str | torch.device
) -> tuple[Connector, TextEncoder]:
    """What `save_pretrained` wrote.

    Raises:
        ConnectorFileError: If the folder or its connector cannot be read.
        TextEncoderError: If its text encoder cannot be read.
    """
    settings = _read_settings(folder / SETTINGS_FILE)
    connector = Connector.from_safetensors(folder / CONNECTOR_FILE, dtype=dtype, device=device)
    encoder = load_text_encoder(
        folder / TEXT_ENCODER_FOLDER, dtype=dtype, device=device, **settings
    )
    return connector, encoder


def _read_settings(file: Path) -> dict[str, Any]:
    try:
        read = json.loads(file.read_text(encoding="utf-8"))
        settings = {name: read[name] for name in _SETTINGS}
        for name, kinds in _SETTINGS.items():
            if type(settings[name]) not in kinds:
                raise TypeError(name)
        return settings
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ConnectorFileError(
            f"{file}: is not what Ella.save_pretrained writes ({type(error).__name__}); give the"
            " folder that it wrote"
        ) from error
