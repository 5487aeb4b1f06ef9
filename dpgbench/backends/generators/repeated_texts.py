"""Texts that come again and again, such as the negative prompt, go through a text encoder once.

Pipelines encode the negative prompt anew for every call, each in its own method with arguments of
its own. What all have in common is the text encoder, a network that is called with token ids.
"""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

_ENCODERS = ("text_encoder", "text_encoder_2", "text_encoder_3", "text_encoder_4")
_PLAIN = (type(None), bool, int, float, str)
_DROPPED = ("past_key_values",)  # of no use to a pipeline, and as large as all else


def encode_repeated_texts_once(pipeline: Any, *, kept: int = 4) -> None:
    """Have a pipeline's text encoders remember what they gave for texts that came twice.

    Nothing is kept of a text that comes once, as prompts do. Rows that are all alike (the negative
    prompt beside several prompts) are computed as one.

    Args:
        pipeline: of diffusers; its encoders are changed in place.
        kept: outputs a text encoder.
    """
    for name in _ENCODERS:
        encoder = getattr(pipeline, name, None)
        if encoder is not None and hasattr(encoder, "forward"):
            encoder.forward = _Remembering(encoder.forward, kept).wrapped()


class _Remembering:
    """Calls a text encoder's forward, unless its output is known."""

    def __init__(self, forward: Callable[..., Any], kept: int) -> None:
        self._forward, self._kept = forward, kept
        self._outputs: OrderedDict[Hashable, Any] = OrderedDict()
        self._last: OrderedDict[Hashable, None] = OrderedDict()
        self._rows_come_first = True  # ChatGLM's tensors have tokens first, then rows

    def wrapped(self) -> Callable[..., Any]:
        """Return what takes the place of forward, with the same signature."""

        @functools.wraps(self._forward)
        def forward(*args: Any, **kwargs: Any) -> Any:
            return self(args, kwargs)

        return forward

    def __call__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        num_rows = _num_rows(args, kwargs)
        if num_rows == 1:
            return _changed(self._one_row(args, kwargs), lambda tensor: tensor.clone())
        if num_rows and self._rows_come_first and _rows_alike(args, kwargs):
            output = self._one_row(
                tuple(map(_first_row, args)), {name: _first_row(v) for name, v in kwargs.items()}
            )
            self._rows_come_first = all(len(tensor) == 1 for tensor in _tensors(output))
            if self._rows_come_first:
                return _changed(output, lambda tensor: tensor.repeat_interleave(num_rows, 0))
        return self._forward(*args, **kwargs)

    def _one_row(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return the output for one text, which is not to be changed."""
        key = _key(args, kwargs)
        if key in self._outputs:
            self._outputs.move_to_end(key)
            return self._outputs[key]
        output = self._forward(*args, **kwargs)
        if key in self._last:
            self._outputs[key] = _changed(output, lambda tensor: tensor)
            _limit(self._outputs, self._kept)
        self._last[key] = None
        _limit(self._last, self._kept)
        return output


def _limit(entries: OrderedDict[Hashable, Any], number: int) -> None:
    while len(entries) > number:
        entries.popitem(last=False)


def _num_rows(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> int | None:
    """Return how many texts a call is about; None where it is about something else too."""
    import torch

    ids = args[0] if args else kwargs.get("input_ids")
    values = [*args, *kwargs.values()]
    if not isinstance(ids, torch.Tensor) or ids.is_floating_point() or ids.ndim != 2:
        return None
    for value in values:
        if isinstance(value, torch.Tensor):
            if value.is_floating_point() or not value.ndim or len(value) != len(ids):
                return None
        elif not isinstance(value, _PLAIN):
            return None
    return len(ids)


def _rows_alike(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    return all(
        bool((value == value[:1]).all())
        for value in (*args, *kwargs.values())
        if not isinstance(value, _PLAIN)
    )


def _first_row(value: Any) -> Any:
    return value if isinstance(value, _PLAIN) else value[:1]


def _key(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Hashable:
    named = [*enumerate(args), *sorted(kwargs.items())]
    return tuple(
        (name, value)
        if isinstance(value, _PLAIN)
        else (name, tuple(value.shape), str(value.dtype), value.cpu().numpy().tobytes())
        for name, value in named
    )


def _tensors(output: Any) -> list[Tensor]:
    """Return the tensors of an output that have rows."""
    seen: list[Tensor] = []

    def note(tensor: Tensor) -> Tensor:
        seen.append(tensor)
        return tensor

    _changed(output, note)
    return [tensor for tensor in seen if tensor.ndim]


def _changed(output: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Return an output of the same form, each of its tensors changed."""
    import torch

    if isinstance(output, torch.Tensor):
        return change(output)
    if isinstance(output, tuple | list):
        return type(output)(_changed(value, change) for value in output)
    if isinstance(output, Mapping):  # transformers' outputs
        parts = {k: _changed(v, change) for k, v in output.items() if k not in _DROPPED}
        return type(output)(**parts)
    return output
