"""Networks and tokenizers of language models, loaded whole from a folder or the hub.

A T5 is held to its kind and to every tensor; of any other kind it is the network that transformers'
`AutoModel` makes: of a vision-language model its language model alone, of an encoder-decoder its
encoder. Code in a repository is never run.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModel, AutoTokenizer, T5EncoderModel
from transformers.utils import logging

from ella.errors import TextEncoderError, first_names, one_line
from ella.strict_loading import LoadingReport, strict_loading

_TEXT_PARTS = ("language_model", "text_model")


def load_t5(source: str | Path, dtype: torch.dtype, where: dict[str, Any]) -> tuple[Any, Any]:
    """A T5's encoder and its tokenizer.

    Raises:
        TextEncoderError: If there is no T5 encoder with its tokenizer: another kind of model,
            tensors that are missing, of another shape, or more than the model has.
    """
    try:
        config = _read_config(source, where)
        _check_t5(config)
        return _load(T5EncoderModel, source, dtype, where, strict=True)
    except Exception as error:  # a damaged file can break a library in any way
        raise _explained(source, where, "T5 encoder", error) from error


def load_language_model(
    source: str | Path, dtype: torch.dtype, where: dict[str, Any]
) -> tuple[Any, Any]:
    """Any language model and its tokenizer, padding on the right.

    Args:
        source: A folder, or the name of a repository on the Hugging Face hub.
        dtype: Of the network.
        where: `subfolder` and `local_files_only` of `from_pretrained`.

    Raises:
        TextEncoderError: If there is no language model with its tokenizer, or tensors are missing.
    """
    try:
        config = _read_config(source, where)
        if config.model_type == "t5":
            _check_t5(config)
            return _load(T5EncoderModel, source, dtype, where, strict=True)
        model, tokenizer = _load(AutoModel, source, dtype, where)
    except Exception as error:  # a damaged file can break a library in any way
        raise _explained(source, where, "language model", error) from error
    # On the right, so that a causal model's features are those of the text without padding.
    tokenizer.padding_side = "right"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return model, tokenizer


def text_side(model: Any) -> Any:
    """The part of a network that reads text alone."""
    for name in _TEXT_PARTS:
        part = getattr(model, name, None)
        if isinstance(part, nn.Module) and hasattr(part, "config"):
            return part
    if getattr(model.config, "is_encoder_decoder", False) and hasattr(model, "get_encoder"):
        return model.get_encoder()
    return model


def width_of(model: Any) -> int:
    """Width of a network's hidden states.

    Raises:
        TextEncoderError: If its configuration states none.
    """
    config = model.config
    width = getattr(config.get_text_config(), "hidden_size", None)
    if not isinstance(width, int):
        raise TextEncoderError(
            f"{type(model).__name__}: its configuration states no `hidden_size`; it is no language"
            " model"
        )
    return width


def names_a_path(source: str | Path) -> bool:
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


def _read_config(source: str | Path, where: dict[str, Any]) -> Any:
    folder = Path(source) / where["subfolder"]
    if where["local_files_only"] and names_a_path(source) and not folder.is_dir():
        raise FileNotFoundError("there is no such folder")
    return AutoConfig.from_pretrained(source, trust_remote_code=False, **where)


def _load(
    network: Any,
    source: str | Path,
    dtype: torch.dtype,
    where: dict[str, Any],
    *,
    strict: bool = False,
) -> tuple[Any, Any]:
    tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False, **where)
    more: dict[str, Any] = {} if strict else {"trust_remote_code": False}
    folder = str(Path(source) / where["subfolder"])
    with _without_loading_table(), strict_loading(folder) as reports:
        model = network.from_pretrained(source, dtype=dtype, use_safetensors=True, **where, **more)
    if strict:
        _check_only_encoder(reports)
    model = text_side(model)
    width_of(model)
    _check_vocabulary(model, tokenizer)
    return model, tokenizer


@contextlib.contextmanager
def _without_loading_table() -> Iterator[None]:
    """Keep back transformers' table of unused tensors: a head is always unused here."""
    before = logging.get_verbosity()
    logging.set_verbosity(max(before, logging.ERROR))
    try:
        yield
    finally:
        logging.set_verbosity(before)


def _explained(
    source: str | Path, where: dict[str, Any], what: str, error: Exception
) -> TextEncoderError | Exception:
    if isinstance(error, RuntimeError) and "out of memory" in str(error):
        return error
    return TextEncoderError(
        f"{Path(source) / where['subfolder']}: no {what} with its tokenizer ({one_line(error)});"
        " give the folder that holds config.json, model.safetensors and the tokenizer's files"
    )


def _check_t5(config: Any) -> None:
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
    num_embeddings = model.get_input_embeddings().num_embeddings
    if len(tokenizer) > num_embeddings:
        raise ValueError(
            f"its tokenizer knows {len(tokenizer)} tokens, but the network only {num_embeddings}"
        )
    if len(tokenizer) * 2 < num_embeddings:  # without its files it is an empty one
        raise ValueError(
            f"its tokenizer knows {len(tokenizer)} tokens of the encoder's {num_embeddings}: its "
            "files are missing or of another model"
        )
