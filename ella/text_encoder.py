"""Language models as text encoders: texts in, one feature matrix per text out.

`TextEncoder` is all that the rest of ella asks for. `TransformersTextEncoder` fulfils it with any
network and tokenizer of transformers; `T5TextEncoder` loads the one that ELLA was trained with.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, Self

import torch
from safetensors import SafetensorError
from torch import Tensor
from transformers import AutoConfig, AutoTokenizer, T5EncoderModel

from ella.config import TRAINED_LENGTH, Length
from ella.errors import TextEncoderError, first_names, one_line
from ella.strict_loading import LoadingReport, strict_loading


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
    """Any encoder or language model of transformers that returns a `last_hidden_state`.

    Args:
        model: Such as `AutoModel.from_pretrained(...)` gives (T5's encoder, LLaMA, Qwen, ...).
        tokenizer: The model's own. Fixed length needs one with a padding token.
        fixed_length: Tokens under `fixed`; ELLA was trained with 128.
        mask_padding: Whether the *language model* ignores padding, as is usual with transformers.
            The connector never does.

    Raises:
        ValueError: If `fixed_length` is below 1.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        fixed_length: int = TRAINED_LENGTH,
        mask_padding: bool = True,
    ) -> None:
        if fixed_length < 1:
            raise ValueError(f"`fixed_length` must be at least 1, got {fixed_length}")
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.fixed_length = fixed_length
        self.mask_padding = mask_padding

    @property
    def feature_dim(self) -> int:
        """Width of the features."""
        return int(self.model.config.hidden_size)

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
            TextEncoderError: If the tokenizer has no token for padding or for an empty text.
        """
        if length not in ("fixed", "flexible"):
            raise ValueError(f"`length` must be 'fixed' or 'flexible', got {length!r}")
        if not texts:
            return []
        if length == "fixed":
            return self._encode_fixed(texts)
        return self._encode_flexible(texts)

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
        ids = self._token_ids(texts)
        features: dict[int, Tensor] = {}
        for num_tokens in sorted({len(row) for row in ids}):
            members = [i for i, row in enumerate(ids) if len(row) == num_tokens]
            batch = torch.tensor([ids[i] for i in members])
            features.update(zip(members, self._run(batch, torch.ones_like(batch)), strict=True))
        return [features[i] for i in range(len(texts))]

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
        mask = batch.attention_mask if self.mask_padding else torch.ones_like(batch.attention_mask)
        return list(self._run(batch.input_ids, mask))

    def _run(self, ids: Tensor, mask: Tensor) -> Tensor:
        device = self.model.device
        output = self.model(input_ids=ids.to(device), attention_mask=mask.to(device))
        return output.last_hidden_state


class T5TextEncoder(TransformersTextEncoder):
    """T5's encoder, the text encoder of ELLA's released weights (FLAN-T5-XL)."""

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path,
        *,
        subfolder: str = "",
        dtype: torch.dtype | None = None,
        device: str | torch.device = "cpu",
        fixed_length: int = TRAINED_LENGTH,
        mask_padding: bool = True,
        local_files_only: bool = False,
    ) -> Self:
        """A T5 encoder and its tokenizer; of a whole T5 only the encoder is kept.

        Args:
            source: A folder, or the name of a repository on the Hugging Face hub. Safetensors
                only; code in the repository is never run.
            subfolder: The folder within `source`; in `QQGYLab/ELLA` it is
                `models--google--flan-t5-xl--text_encoder`.
            dtype: By default float16 on an accelerator and float32 on a CPU. ELLA's weights were
                made with float16; others draw visibly other images (ELLA issue 23).
            device: Where to.
            fixed_length: Tokens under fixed length.
            mask_padding: Whether T5 ignores padding.
            local_files_only: Never ask the hub; so it is for a folder in any case.

        Warns:
            PrecisionWarning: If `dtype` is not float16.

        Raises:
            TextEncoderError: If there is no T5 encoder with its tokenizer: another kind of model,
                tensors that are missing, of another shape, or more than the model has.
        """
        dtype = dtype or _default_dtype(torch.device(device))
        _warn_of_precision(dtype)
        local = local_files_only or _names_a_path(source)
        where: dict[str, Any] = {"subfolder": subfolder, "local_files_only": local}
        try:
            if local and not (Path(source) / subfolder).is_dir() and _names_a_path(source):
                raise FileNotFoundError("there is no such folder")
            _check_kind(AutoConfig.from_pretrained(source, **where))
            tokenizer = AutoTokenizer.from_pretrained(source, **where)
            with strict_loading(str(Path(source) / subfolder)) as reports:
                model = T5EncoderModel.from_pretrained(
                    source, dtype=dtype, use_safetensors=True, **where
                )
            _check_only_encoder(reports)
            _check_vocabulary(model, tokenizer)
        except (OSError, ValueError, RuntimeError, KeyError, TypeError, SafetensorError) as error:
            if isinstance(error, RuntimeError) and "out of memory" in str(error):
                raise
            raise TextEncoderError(
                f"{Path(source) / subfolder}: no T5 encoder with its tokenizer ({one_line(error)});"
                " give the folder that holds config.json, model.safetensors and the tokenizer's"
                " files"
            ) from error
        model = model.requires_grad_(False).to(device)
        return cls(model, tokenizer, fixed_length=fixed_length, mask_padding=mask_padding)


def _names_a_path(source: str | Path) -> bool:
    """Whether `source` is of this machine, so that the hub is not to be asked for it.

    A repository of the hub is NAME or ORG/NAME.
    """
    text = str(source)
    return (
        isinstance(source, Path)
        or Path(source).exists()
        or text.startswith((".", "/", "~"))
        or text.count("/") > 1
        or "\\" in text
        or Path(text).suffix in (".safetensors", ".bin", ".pt", ".ckpt", ".gguf")
    )


def _check_kind(config: Any) -> None:
    """Raise unless a configuration is a T5's: of another kind, random weights would be drawn."""
    kind = getattr(config, "model_type", None)
    named = getattr(config, "architectures", None) or []
    foreign = [name for name in named if not name.startswith("T5")]
    if kind != "t5" or foreign:
        raise ValueError(
            f"config.json is of a {', '.join(foreign) or kind}, of the kind {kind!r}, not of a T5"
        )


def _check_only_encoder(reports: Sequence[LoadingReport]) -> None:
    """Raise where files hold more than a T5: then config.json is not theirs.

    Of a whole T5 the decoder and the head are left out.
    """
    more = [
        name
        for report in reports
        for name in report.unexpected
        if not name.startswith(("decoder.", "lm_head."))
    ]
    if more:
        raise ValueError(
            f"its files hold {len(more)} tensors that config.json knows nothing of:"
            f" {first_names(more)}"
        )


def _check_vocabulary(model: Any, tokenizer: Any) -> None:
    if len(tokenizer) > model.config.vocab_size:
        raise ValueError(
            f"its tokenizer knows {len(tokenizer)} tokens, but the network only"
            f" {model.config.vocab_size}"
        )
    if len(tokenizer) * 2 < model.config.vocab_size:  # without its files it is an empty one
        raise ValueError(
            f"its tokenizer knows {len(tokenizer)} tokens of the encoder's "
            f"{model.config.vocab_size}: its files are missing or of another model"
        )


def _default_dtype(device: torch.device) -> torch.dtype:
    return torch.float32 if device.type == "cpu" else torch.float16


def _warn_of_precision(dtype: torch.dtype) -> None:
    if dtype != torch.float16:
        warnings.warn(
            f"the text encoder runs in {dtype}; ELLA's released weights were made with float16"
            " features and draw visibly other images with any other",
            PrecisionWarning,
            stacklevel=3,
        )
