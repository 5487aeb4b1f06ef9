"""The embedded judge's sizes, and its folder's text files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import yaml

from dpgbench.mplug.config import BERT_FILE, CONFIG_FILE, CONFIGURATION_FILE, MplugConfig
from dpgbench.mplug.processing import VOCAB_FILE, MplugProcessor
from scripts.embedded.judge.data.vocabulary import vocabulary

TASK: Final[dict[str, Any]] = {
    "beam_size": 5,
    "bert_config": BERT_FILE,
    "clip_name": "ViT-L-14",
    "clip_vision_layers": 4,
    "clip_vision_width": 128,
    "image_res": 126,  # 9x9 patches, 3x3 of them for each cell of the world's grid
    "max_length": 10,
    "min_length": 1,
    "task": "visual-question-answering",
    "vision_width": 128,
}
BERT: Final[dict[str, Any]] = {
    "encoder_width": 128,
    "fusion_layers": 3,
    "hidden_act": "gelu",
    "hidden_size": 128,
    "intermediate_size": 256,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 32,
    "model_type": "bert",
    "num_attention_heads": 4,
    "num_hidden_layers": 3,
    "pad_token_id": 0,
    "stride_layer": 3,  # no joint layer: image states are the same for all questions
    "text_decode_layers": 1,
    "text_encoder_layers": 2,
    "type_vocab_size": 2,
}
CONFIGURATION: Final[dict[str, Any]] = {
    "framework": "pytorch",
    "model": {"type": "mplug"},
    "pipeline": {"type": "visual-question-answering"},
    "preprocessor": {"type": "mplug-tasks-preprocessor"},
    "task": "visual-question-answering",
}


def write_texts(folder: Path) -> None:
    """All files of the judge's folder but the weights."""
    folder.mkdir(parents=True, exist_ok=True)
    words = vocabulary()
    texts = {
        VOCAB_FILE: "\n".join(words) + "\n",
        BERT_FILE: _json({**BERT, "vocab_size": len(words)}),
        CONFIG_FILE: yaml.safe_dump(TASK),
        CONFIGURATION_FILE: _json(CONFIGURATION),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")


def read_texts(folder: Path) -> tuple[MplugConfig, MplugProcessor]:
    """The sizes and the preprocessing that such a folder asks for."""
    config = MplugConfig.from_folder(folder)
    return config, MplugProcessor.from_folder(folder, config)


def _json(fields: dict[str, Any]) -> str:
    return json.dumps(fields, indent=2, sort_keys=True) + "\n"
