"""The network's sizes, read from a folder in ModelScope's layout.

No tensor lives here: a config says how large the network is and how it searches, nothing else.
"""

import json
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import yaml

from dpgbench.mplug.errors import CheckpointError

CONFIGURATION_FILE: Final = "configuration.json"
CONFIG_FILE: Final = "config.yaml"
BERT_FILE: Final = "config_bert.json"
VISION_HEAD_WIDTH: Final = 64
_LARGEST_FILE: Final = 2**16  # bytes; published ones have some 2 KB
_LARGEST_SIZE: Final = 1_000_000  # of what a field counts; beyond it no tensor could be made
_MOST_LAYERS: Final = 200  # each takes time to build, before a weight shows that it is not there


class _Trunk(NamedTuple):
    num_layers: int
    width: int
    patch_px: int


_TRUNKS: Final = {"ViT-L-14": _Trunk(24, 1024, 14), "ViT-B-16": _Trunk(12, 768, 16)}
"""CLIP's published image trunks, by the `clip_name` of config.yaml."""

STANDARD_BERT: Final[Mapping[str, Any]] = {
    "hidden_size": 768,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "layer_norm_eps": 1e-12,
    "hidden_act": "gelu",
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "vocab_size": 30522,
    "pad_token_id": 0,
    "encoder_width": 768,
    "text_encoder_layers": 6,
    "num_hidden_layers": 12,
    "fusion_layers": 6,
    "text_decode_layers": 12,
    "stride_layer": 6,
}
"""config_bert.json of mPLUG-large VQA, for copies without that file."""


@dataclass(frozen=True, slots=True)
class SearchRules:
    """How an answer is searched: these numbers decide it.

    `max_length` counts the steps, the end token included; during the first `min_length` steps the
    end token is forbidden.
    """

    beam_size: int = 5
    max_length: int = 10
    min_length: int = 1
    start_id: int = 101
    end_id: int = 102


@dataclass(frozen=True, slots=True)
class MplugConfig:
    """Sizes of one mPLUG network and the rules of its search.

    `fusion_layers` of the `declared_fusion_layers` run: the last ones. Every `stride`-th of those,
    the first excepted, joins image and text in one self-attention.
    """

    image_px: int
    patch_px: int
    vision_width: int
    vision_layers: int
    hidden_size: int
    num_heads: int
    feed_forward_size: int
    norm_eps: float
    num_positions: int
    num_token_types: int
    vocab_size: int
    text_layers: int
    fusion_layers: int
    declared_fusion_layers: int
    decoder_layers: int
    stride: int
    search: SearchRules
    question_length: int = 25
    pad_id: int = 0

    @property
    def vision_heads(self) -> int:
        """Attention heads of the image trunk: one for every 64 channels."""
        return self.vision_width // VISION_HEAD_WIDTH

    @property
    def num_image_tokens(self) -> int:
        """Image tokens: one for every patch, and the class token."""
        return (self.image_px // self.patch_px) ** 2 + 1

    @property
    def first_joint_layer(self) -> int | None:
        """The first fusion layer, counted from 0, that changes the image states, if any does."""
        return self.stride if self.stride < self.fusion_layers else None

    def is_joint(self, layer: int) -> bool:
        """Whether fusion layer `layer`, counted from 0 among those that run, joins both states."""
        return layer > 0 and layer % self.stride == 0

    @classmethod
    def from_folder(cls, folder: str | Path, *, standard_bert: bool = False) -> Self:
        """The config of the network in `folder`.

        Args:
            folder: holds config.yaml and config_bert.json.
            standard_bert: take mPLUG-large's own fields where config_bert.json is not there.

        Raises:
            CheckpointError: a file or a field is missing or impossible; both are named.
        """
        folder = Path(folder)
        _check_kind(folder / CONFIGURATION_FILE)
        task = _Fields.read(folder / CONFIG_FILE)
        bert_path = _bert_path(folder, task)
        is_standard = standard_bert and not bert_path.exists()
        bert = _Fields(bert_path, STANDARD_BERT) if is_standard else _Fields.read(bert_path)
        trunk = _trunk(task)
        config = cls(
            image_px=task.count("image_res"),
            patch_px=trunk.patch_px,
            vision_width=trunk.width,
            vision_layers=trunk.num_layers,
            hidden_size=bert.count("hidden_size"),
            num_heads=bert.count("num_attention_heads"),
            feed_forward_size=bert.count("intermediate_size"),
            norm_eps=bert.positive("layer_norm_eps", 1e-12),
            num_positions=bert.count("max_position_embeddings"),
            num_token_types=bert.count("type_vocab_size"),
            vocab_size=bert.count("vocab_size"),
            text_layers=bert.count("text_encoder_layers", at_most=_MOST_LAYERS),
            fusion_layers=bert.count("fusion_layers", at_most=_MOST_LAYERS),
            declared_fusion_layers=bert.count("num_hidden_layers", at_most=_MOST_LAYERS),
            decoder_layers=bert.count("text_decode_layers", at_most=_MOST_LAYERS),
            stride=bert.count("stride_layer"),
            search=SearchRules(
                beam_size=task.count("beam_size"),
                max_length=task.count("max_length"),
                min_length=task.count("min_length", at_least=0),
            ),
        )
        _check_task(task, config)
        _check_bert(bert, config)
        return config


def has_bert_config(folder: str | Path) -> bool:
    """Whether `folder` has the file of BERT's fields that its config.yaml names."""
    return _bert_path(Path(folder), _Fields.read(Path(folder) / CONFIG_FILE)).exists()


def _bert_path(folder: Path, task: "_Fields") -> Path:
    return folder / task.text("bert_config", BERT_FILE)


@dataclass(frozen=True, slots=True)
class _Fields:
    """The fields of one file, with errors that name both."""

    path: Path
    values: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> Self:
        parse = yaml.safe_load if path.suffix in {".yaml", ".yml"} else json.loads
        try:
            if path.stat().st_size > _LARGEST_FILE:
                raise ValueError(f"more than {_LARGEST_FILE >> 10} KiB, which no such file has")
            values = parse(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise CheckpointError(
                f"{path}: not there; the judge needs the whole folder, download it again"
            ) from None
        except (OSError, RecursionError, ValueError, yaml.YAMLError) as error:
            reason = getattr(error, "strerror", None) or " ".join(str(error).split())
            raise CheckpointError(f"{path}: cannot be read ({reason}); download it again") from None
        if not isinstance(values, Mapping):
            raise CheckpointError(f"{path}: holds no fields; download it again")
        return cls(path, values)

    def count(
        self,
        name: str,
        default: int | None = None,
        at_least: int = 1,
        at_most: int = _LARGEST_SIZE,
    ) -> int:
        value = self.values.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < at_least:
            self.refuse(name, f"a whole number from {at_least}")
        if value > at_most:
            self.refuse(name, f"at most {at_most}")
        return int(value)

    def positive(self, name: str, default: float) -> float:
        value = self.values.get(name, default)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not 0 < value <= 1:  # nor is it so with what is no number
            self.refuse(name, "a number above 0")
        return float(value)

    def text(self, name: str, default: str) -> str:
        value = self.values.get(name, default)
        if not isinstance(value, str):
            self.refuse(name, "a text")
        return str(value)

    def refuse(self, name: str, expected: str) -> None:
        # Not `repr`: a few lines of YAML that name each other stand for gigabytes of it.
        value = reprlib.repr(self.values[name]) if name in self.values else "nothing"
        raise CheckpointError(f"{self.path}: field `{name}`: expected {expected}, found {value}")


def _check_kind(path: Path) -> None:
    """Refuses the folder of another model; a folder without configuration.json is let pass."""
    if path.exists():
        model = _Fields.read(path).values.get("model")
        kind = model.get("type") if isinstance(model, Mapping) else None
        if kind != "mplug":
            raise CheckpointError(
                f"{path}: field `model.type`: expected 'mplug', found {reprlib.repr(kind)}"
            )


def _trunk(task: _Fields) -> _Trunk:
    name = task.text("clip_name", "ViT-L-14")
    if name not in _TRUNKS:
        task.refuse("clip_name", f"one of {', '.join(_TRUNKS)}")
    trunk = _TRUNKS[name]
    layers = task.count("clip_vision_layers", trunk.num_layers, at_most=_MOST_LAYERS)
    return trunk._replace(num_layers=layers, width=task.count("clip_vision_width", trunk.width))


def _check_task(task: _Fields, config: MplugConfig) -> None:
    if config.image_px % config.patch_px:
        task.refuse("image_res", f"a multiple of {config.patch_px}")
    if config.vision_width % VISION_HEAD_WIDTH:
        task.refuse("clip_vision_width", f"a multiple of {VISION_HEAD_WIDTH}")
    if task.count("vision_width", config.vision_width) != config.vision_width:
        task.refuse("vision_width", f"the image trunk's width, {config.vision_width}")
    if not config.search.min_length < config.search.max_length <= config.num_positions:
        task.refuse("max_length", f"above min_length and at most {config.num_positions}")
    if config.search.beam_size >= config.vocab_size:
        task.refuse("beam_size", f"less than the vocabulary's {config.vocab_size}")


def _check_bert(bert: _Fields, config: MplugConfig) -> None:
    if config.hidden_size % config.num_heads:
        bert.refuse("hidden_size", f"a multiple of num_attention_heads, {config.num_heads}")
    if bert.text("hidden_act", "gelu") != "gelu":
        bert.refuse("hidden_act", "'gelu'")
    if bert.count("encoder_width", config.hidden_size) != config.hidden_size:
        bert.refuse("encoder_width", f"hidden_size, {config.hidden_size}")
    if config.fusion_layers > config.declared_fusion_layers:
        bert.refuse("fusion_layers", f"at most num_hidden_layers, {config.declared_fusion_layers}")
    if config.num_positions < config.question_length:
        bert.refuse("max_position_embeddings", f"at least {config.question_length}")
    if config.vocab_size <= config.search.end_id:
        bert.refuse("vocab_size", f"above {config.search.end_id}, the end token's number")
    if bert.count("pad_token_id", config.pad_id, at_least=0) != config.pad_id:
        bert.refuse("pad_token_id", str(config.pad_id))
