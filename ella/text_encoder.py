"""Language models as text encoders: texts in, one feature matrix per text out.

`TextEncoder` is all that the rest of ella asks for. `TransformersTextEncoder` fulfils it with any
language model of transformers; `T5TextEncoder` loads the one that ELLA was trained with.
"""

from __future__ import annotations

import copy
import inspect
import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, Self

import torch
from torch import Tensor

from ella.config import TRAINED_LENGTH, Length
from ella.errors import TextEncoderError
from ella.language_models import (
    load_language_model,
    load_t5,
    names_a_path,
    text_side,
    width_of,
)

Loaded = tuple[Any, Any]
"""A network of transformers and its tokenizer."""


class PrecisionWarning(UserWarning):
    """The text encoder runs in another precision than ELLA's weights were made with."""


class TextEncoder(Protocol):
    """What ella asks of a text encoder: implement these two for any language model."""

    @property
    def feature_dim(self) -> int:
        """Width of the features; the connector's `input_dim`."""
        ...

    def encode(self, texts: Sequence[str], length: Length) -> list[Tensor]:
        """For each text `[tokens, feature_dim]`; under `fixed` all of one number of tokens."""
        ...


class TransformersTextEncoder:
    """Any encoder or language model of transformers: T5's encoder, LLaMA, Qwen, Mistral, Gemma, ...

    Of a vision-language model the language model reads the text alone.

    Args:
        model: Such as `AutoModel.from_pretrained(...)` gives.
        tokenizer: The model's own. Fixed length needs one with a padding token.
        fixed_length: Tokens under `fixed`. None leaves it to the connector that features are for:
            what its file says that it was trained with, and 128, as ELLA's, where it does not.
        mask_padding: Whether the *language model* ignores padding, as is usual with transformers.
            The connector never does.
        hidden_layer: Which of the model's `hidden_states`: 0 are the embeddings, n what layer n
            gives, negative ones count from the end; None is the last, after the final norm.

    Raises:
        ValueError: If `fixed_length` is below 1, or there is no such layer.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        fixed_length: int | None = None,
        mask_padding: bool = True,
        hidden_layer: int | None = None,
    ) -> None:
        if fixed_length is not None and fixed_length < 1:
            raise ValueError(f"`fixed_length` must be at least 1, got {fixed_length}")
        self.model = text_side(model).eval()
        layers = self.model.config.get_text_config().num_hidden_layers
        if hidden_layer is not None and not -layers - 1 <= hidden_layer <= layers:
            raise ValueError(
                f"`hidden_layer` must be from {-layers - 1} to {layers}, as"
                f" {type(self.model).__name__} has {layers} layers, got {hidden_layer}"
            )
        self.tokenizer = tokenizer
        self.fixed_length = fixed_length or TRAINED_LENGTH
        self._follows_connector = fixed_length is None
        self.mask_padding = mask_padding
        self.hidden_layer = hidden_layer
        self._most_tokens: int | None = None
        self._has_cut = False

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path,
        *,
        subfolder: str = "",
        dtype: torch.dtype | None = None,
        device: str | torch.device = "cpu",
        fixed_length: int | None = None,
        mask_padding: bool = True,
        hidden_layer: int | None = None,
        local_files_only: bool = False,
    ) -> Self:
        """A language model and its tokenizer; of a T5 its encoder, in a strict check.

        Args:
            source: A folder, or the name of a repository on the Hugging Face hub. Safetensors
                only; code in the repository is never run.
            subfolder: The folder within `source`.
            dtype: By default float16 on an accelerator and float32 on a CPU. Some models (Gemma)
                give no finite numbers in float16: those want bfloat16.
            device: Where to.
            fixed_length: Tokens under fixed length, as in the class. A tokenizer without a padding
                token pads with its end-of-text token, on the right.
            mask_padding: Whether the model ignores padding.
            hidden_layer: As in the class.
            local_files_only: Never ask the hub; so it is for a folder in any case.

        Raises:
            TextEncoderError: If there is no language model with its tokenizer, or its files lack
                tensors, or have them in another shape.
            ValueError: If there is no such layer.
        """
        where: dict[str, Any] = {
            "subfolder": subfolder,
            "local_files_only": local_files_only or names_a_path(source),
        }
        dtype = dtype or _default_dtype(torch.device(device))
        model, tokenizer = cls._load(source, dtype, where)
        return cls(
            model.requires_grad_(False).to(device),
            tokenizer,
            fixed_length=fixed_length,
            mask_padding=mask_padding,
            hidden_layer=hidden_layer,
        )

    @classmethod
    def _load(cls, source: str | Path, dtype: torch.dtype, where: dict[str, Any]) -> Loaded:
        """The network and its tokenizer, on the CPU."""
        return load_language_model(source, dtype, where)

    def for_connector(self, tokens: int | None) -> Self:
        """This encoder, or over the same network one of so many tokens where it leaves that open.

        Args:
            tokens: Under fixed length, that a connector was trained with; None where not known.
        """
        if tokens is None or tokens == self.fixed_length or not self._follows_connector:
            return self
        other = copy.copy(self)
        other.fixed_length = tokens
        return other

    def cutting_beyond(self, tokens: int) -> Self:
        """This encoder, over the same network, cutting longer texts under flexible length too.

        What a text takes grows with the square of its tokens. The first one that is cut is warned
        of.

        Args:
            tokens: The most that a text may have.
        """
        other = copy.copy(self)
        other._most_tokens = tokens
        return other

    @property
    def feature_dim(self) -> int:
        """Width of the features."""
        return width_of(self.model)

    @property
    def kind(self) -> str:
        """Of the language model, as transformers calls it."""
        return str(self.model.config.model_type)

    @torch.no_grad()
    def encode(self, texts: Sequence[str], length: Length) -> list[Tensor]:
        """Features for each text, of the model's dtype and on its device.

        Args:
            texts: Any number, also none. An empty text is one end-of-text token.
            length: `fixed` pads and truncates to `fixed_length`; `flexible` does neither.

        Returns:
            For each text `[tokens, feature_dim]`.

        Raises:
            ValueError: If `length` is neither.
            TextEncoderError: If the tokenizer has no token for padding or for an empty text, or a
                feature is no finite number: the model's precision is too low for it.
        """
        features = self.encode_unchecked(texts, length)
        if not all(bool(feature.isfinite().all()) for feature in features):
            raise TextEncoderError(
                f"{type(self.model).__name__}: gives features that are no finite numbers in"
                f" {features[0].dtype}; load it with dtype=torch.bfloat16 or torch.float32"
            )
        return features

    @torch.no_grad()
    def encode_unchecked(self, texts: Sequence[str], length: Length) -> list[Tensor]:
        """`encode` without asking whether features are finite, which would wait for the device.

        Raises:
            ValueError: As `encode`.
            TextEncoderError: If the tokenizer has no token for padding or for an empty text.
        """
        if length not in ("fixed", "flexible"):
            raise ValueError(f"`length` must be 'fixed' or 'flexible', got {length!r}")
        if not texts:
            return []
        encode = self._encode_fixed if length == "fixed" else self._encode_flexible
        return encode(texts)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text without padding or truncation: above `fixed_length`, `fixed` cuts."""
        return [len(ids) for ids in self._token_ids(texts)]

    def _token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        if not texts:
            return []
        ids = self.tokenizer(list(texts), truncation=False, verbose=False).input_ids
        return [list(row) or [self._empty_token_id()] for row in ids]

    def _empty_token_id(self) -> int:
        # Some tokenizers (Qwen's) make nothing of an empty text, such as the usual negative prompt.
        token_id = self.tokenizer.eos_token_id
        if token_id is None:
            raise TextEncoderError(
                f"{type(self.tokenizer).__name__} makes no token of an empty text and has no"
                " end-of-text token; set tokenizer.eos_token"
            )
        return int(token_id)

    def _encode_flexible(self, texts: Sequence[str]) -> list[Tensor]:
        ids = [
            self._at_most(text, row)
            for text, row in zip(texts, self._token_ids(texts), strict=True)
        ]
        features: dict[int, Tensor] = {}
        for num_tokens in sorted({len(row) for row in ids}):
            members = [i for i, row in enumerate(ids) if len(row) == num_tokens]
            batch = torch.tensor([ids[i] for i in members])
            features.update(zip(members, self._run(batch, torch.ones_like(batch)), strict=True))
        return [features[i] for i in range(len(texts))]

    def _at_most(self, text: str, ids: list[int]) -> list[int]:
        """A text's tokens, without the end of one that has too many."""
        most = self._most_tokens
        if most is None or len(ids) <= most:
            return ids
        if not self._has_cut:
            warnings.warn(
                f"a text of {len(ids)} tokens is cut to {most}, and so will others be ("
                f"{text[:40]!r}...)",
                stacklevel=2,
            )
        self._has_cut = True
        cut = self.tokenizer(text, truncation=True, max_length=most, verbose=False).input_ids
        return [int(token_id) for token_id in cut]

    def _encode_fixed(self, texts: Sequence[str]) -> list[Tensor]:
        if self.tokenizer.pad_token_id is None:
            raise TextEncoderError(
                f"{type(self.tokenizer).__name__} has no padding token, which fixed length needs;"
                " set tokenizer.pad_token, or use length='flexible'"
            )
        batch = self.tokenizer(
            list(texts),
            padding="max_length",
            max_length=self.fixed_length,
            truncation=True,
            return_tensors="pt",
        )
        ids, mask = batch.input_ids, batch.attention_mask
        empty = mask.sum(1) == 0
        if empty.any():  # of padding alone: a language model that sees nothing gives no number
            first = -1 if self.tokenizer.padding_side == "left" else 0
            ids[empty, first], mask[empty, first] = self._empty_token_id(), 1
        return list(self._run(ids, mask if self.mask_padding else torch.ones_like(mask)))

    def _run(self, ids: Tensor, mask: Tensor) -> Tensor:
        device = self.model.device
        inputs: dict[str, Any] = {"input_ids": ids.to(device), "attention_mask": mask.to(device)}
        if "use_cache" in inspect.signature(self.model.forward).parameters:
            inputs["use_cache"] = False
        if self.hidden_layer is None:
            features: Tensor = self.model(**inputs).last_hidden_state
            return features
        states = self.model(**inputs, output_hidden_states=True).hidden_states
        chosen: Tensor = states[self.hidden_layer]
        return chosen


class T5TextEncoder(TransformersTextEncoder):
    """T5's encoder, the text encoder of ELLA's released weights (FLAN-T5-XL).

    In `QQGYLab/ELLA` its `subfolder` is `models--google--flan-t5-xl--text_encoder`; of a whole T5
    only the encoder is kept. `from_pretrained` refuses any other kind of model, tensors that are
    missing or of another shape, and more tensors than the model has. ELLA's weights were made with
    float16 and the last hidden layer; with another `dtype` than float16, which draws visibly other
    images (ELLA issue 23), it warns (`PrecisionWarning`).
    """

    @classmethod
    def _load(cls, source: str | Path, dtype: torch.dtype, where: dict[str, Any]) -> Loaded:
        _warn_of_precision(dtype)
        return load_t5(source, dtype, where)


def load_text_encoder(source: str | Path, **settings: Any) -> TransformersTextEncoder:
    """A T5 as `T5TextEncoder`, any other language model as `TransformersTextEncoder`.

    Args:
        source: A folder.
        **settings: As in their `from_pretrained`.

    Raises:
        TextEncoderError: If it cannot be read.
    """
    config = Path(source) / "config.json"
    try:
        kind = json.loads(config.read_text(encoding="utf-8")).get("model_type")
    except (OSError, ValueError, AttributeError, RecursionError):
        kind = None  # loading it says what is wrong
    if kind == "t5":
        return T5TextEncoder.from_pretrained(source, **settings)
    return TransformersTextEncoder.from_pretrained(source, **settings)


def _default_dtype(device: torch.device) -> torch.dtype:
    return torch.float32 if device.type == "cpu" else torch.float16


def _warn_of_precision(dtype: torch.dtype) -> None:
    if dtype != torch.float16:
        warnings.warn(
            f"the text encoder runs in {dtype}; ELLA's released weights were made with float16"
            " features and draw visibly other images with any other",
            PrecisionWarning,
            stacklevel=4,
        )
