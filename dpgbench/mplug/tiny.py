"""A tiny untrained judge in ModelScope's layout: for tests of what loads and asks a judge.

Its answers follow from pictures and questions, and mean nothing.
"""

import json
import string
import zlib
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
import yaml
from PIL import Image
from torch import Tensor

from dpgbench.mplug.checkpoint import WEIGHTS_FILE, build_network
from dpgbench.mplug.config import BERT_FILE, CONFIG_FILE, CONFIGURATION_FILE, MplugConfig
from dpgbench.mplug.files import replacing
from dpgbench.mplug.model import Mplug
from dpgbench.mplug.names import FALLBACKS, published_name
from dpgbench.mplug.processing import VOCAB_FILE, MplugProcessor
from dpgbench.mplug.vqa import MplugVqa

_WORDS: Final = """
    yes no is are was there the an any all in on at of to and or not with this that it its by from
    what which how many color picture image background left right above below behind front next
    red green blue yellow black white gray orange purple pink brown circle square triangle star
    one two three four five dog cat man woman tree car house table
"""

_TASK: Final[dict[str, Any]] = {
    "beam_size": 5,
    "bert_config": BERT_FILE,
    "clip_name": "ViT-L-14",
    "clip_vision_layers": 1,
    "clip_vision_width": 64,
    "image_res": 56,
    "max_length": 10,
    "min_length": 1,
    "task": "visual-question-answering",
    "vision_width": 64,
}
_BERT: Final[dict[str, Any]] = {
    "encoder_width": 32,
    "fusion_layers": 1,
    "hidden_act": "gelu",
    "hidden_size": 32,
    "intermediate_size": 64,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 32,
    "model_type": "bert",
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "pad_token_id": 0,
    "stride_layer": 6,
    "text_decode_layers": 1,
    "text_encoder_layers": 1,
    "type_vocab_size": 2,
}
_CONFIGURATION: Final[dict[str, Any]] = {
    "framework": "pytorch",
    "model": {"type": "mplug"},
    "pipeline": {"type": "visual-question-answering"},
    "preprocessor": {"type": "mplug-tasks-preprocessor"},
    "task": "visual-question-answering",
}

_BIAS: Final = "text_decoder.cls.predictions.decoder.bias"
_SPREAD: Final = 1.5
_LOUD_TEXT: Final = 8.0
_QUIET_IMAGE: Final = 0.3
_ANSWER_BIAS: Final = 8.0
_END_BIAS: Final = 16.0
"""Weights and bias for which images and questions both matter, and no other word is answered."""
_COLOURS: Final = ("red", "green", "blue", "white")
_PROBES: Final = (
    "is there a circle?",
    "are all of the squares red?",
    "is this a picture of a cat?",
)


def write_tiny_checkpoint(folder: str | Path, seed: int = 0) -> None:
    """Writes a network of 0.15 million seeded numbers that says yes or no, and nothing more.

    It says each of them often, depending on picture and question. The same seed gives the same
    files in every process.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = _vocabulary()
    _write(folder / VOCAB_FILE, "\n".join(vocabulary) + "\n")
    _write(folder / BERT_FILE, _json({**_BERT, "vocab_size": len(vocabulary)}))
    _write(folder / CONFIG_FILE, yaml.safe_dump(_TASK))
    _write(folder / CONFIGURATION_FILE, _json(_CONFIGURATION))
    config = MplugConfig.from_folder(folder)
    processor = MplugProcessor.from_folder(folder, config)
    with replacing(folder / WEIGHTS_FILE) as part:  # a judge may be running on the old file
        torch.save(_weights(config, processor, seed), part)


def _vocabulary() -> list[str]:
    """Special tokens where BERT has them, then letters, digits, punctuation and a few words."""
    start = ["[PAD]", *(f"[unused{i}]" for i in range(99)), "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    pieces = string.ascii_lowercase + string.digits
    return [
        *start,
        *string.punctuation,
        *pieces,
        *(f"##{piece}" for piece in pieces),
        *_WORDS.split(),
    ]


def _weights(config: MplugConfig, processor: MplugProcessor, seed: int) -> dict[str, Tensor]:
    """All tensors that the judge needs, by their published names, the tied ones by both."""
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in Mplug(config).state_dict().items()}
    named = {published_name(name, config): shape for name, shape in shapes.items()}
    weights = {name: _tensor(name, shape, seed) for name, shape in named.items()}
    weights[_BIAS] = _answer_bias(config, processor, leaning=0)
    untuned = MplugVqa(build_network(config, weights, "the tiny judge"), processor)
    weights[_BIAS] = _answer_bias(config, processor, leaning=_leaning(untuned, seed))
    return weights | {second: weights[first] for first, second in FALLBACKS.items()}


def _tensor(name: str, shape: torch.Size, seed: int) -> Tensor:
    """Numbers that follow from name, shape and seed; the question is louder than the image."""
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    numbers = torch.from_numpy(rng.standard_normal(tuple(shape), dtype=np.float32))
    if len(shape) == 1:
        gain = 1.0 if name.endswith("weight") else 0.0
        return (gain + 0.1 * numbers) * (_QUIET_IMAGE if name.startswith("visn_layer_norm") else 1)
    loud = name.startswith("text_encoder.") and "position" not in name
    return numbers * (_SPREAD * (_LOUD_TEXT if loud else 1) / shape[1:].numel() ** 0.5)


def _answer_bias(config: MplugConfig, processor: MplugProcessor, leaning: float) -> Tensor:
    """Logits that allow only yes, no and, where it may come, the end token."""
    if processor.yes_no_ids is None:
        raise AssertionError("the tiny vocabulary holds yes and no")
    yes, no = processor.yes_no_ids
    bias = torch.zeros(config.vocab_size)
    bias[yes] = _ANSWER_BIAS - leaning
    bias[no] = _ANSWER_BIAS
    bias[config.search.end_id] = _END_BIAS
    return bias


def _leaning(vqa: MplugVqa, seed: int) -> float:
    """The median log-odds of yes against no over a few pictures and questions.

    Rounded, so that the last digit of another processor's arithmetic changes nothing.
    """
    rng = np.random.default_rng(seed)
    size_px = vqa.network.config.image_px
    noise = rng.integers(0, 256, (4, size_px, size_px, 3), dtype=np.uint8)
    pictures = [Image.fromarray(picture) for picture in noise]
    pictures += [Image.new("RGB", (size_px, size_px), colour) for colour in _COLOURS]
    answers = vqa.ask(pictures, [_PROBES] * len(pictures), decode="first-token")
    p_yes = np.array([answer.p_yes for texts in answers for answer in texts])
    return round(float(np.median(np.log(p_yes / (1 - p_yes)))), 2)


def _json(fields: dict[str, Any]) -> str:
    return json.dumps(fields, indent=2, sort_keys=True) + "\n"


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
