"""A text encoder gives for a text that comes again what it gave before, bit by bit."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import T5EncoderModel
from transformers.modeling_outputs import BaseModelOutput

from dpgbench.backends.generators.repeated_texts import encode_repeated_texts_once
from ella import tiny


class Pipeline:
    def __init__(self, encoder: Any) -> None:
        self.text_encoder = encoder


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    seen: list[int] = []
    real = T5EncoderModel.forward

    def forward(self: Any, input_ids: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append(len(input_ids))
        return real(self, input_ids, *args, **kwargs)

    monkeypatch.setattr(T5EncoderModel, "forward", forward)
    return seen


def ids(*rows: list[int]) -> torch.Tensor:
    return torch.tensor(rows)


@torch.no_grad()
def test_what_comes_again_is_the_same_and_not_computed(calls: list[int]) -> None:
    encoder = tiny.tiny_text_encoder().model
    one, other = ids([4, 5, 6, 1]), ids([7, 8, 9, 1])
    plain = encoder(one, output_hidden_states=True)
    encode_repeated_texts_once(Pipeline(encoder))
    calls.clear()
    for text in (one, other, one, one, ids([3, 2, 2, 1]), one):
        encoder(text, output_hidden_states=True)
    assert calls == [1, 1, 1, 1]  # it is kept from the second time on
    again = encoder(one, output_hidden_states=True)
    assert len(calls) == 4
    assert torch.equal(again.last_hidden_state, plain.last_hidden_state)
    assert [*map(torch.equal, again.hidden_states, plain.hidden_states)] == [True] * 3
    encoder(one, output_hidden_states=False)
    encoder(one, attention_mask=torch.ones_like(one), output_hidden_states=True)
    assert len(calls) == 6  # another call


@torch.no_grad()
def test_what_a_pipeline_does_to_an_output_changes_no_later_one() -> None:
    encoder = tiny.tiny_text_encoder().model
    encode_repeated_texts_once(Pipeline(encoder))
    one = ids([4, 5, 6, 1])
    first = encoder(one).last_hidden_state.clone()
    for _ in range(4):
        output = encoder(one).last_hidden_state
        assert torch.equal(output, first)
        output.zero_()


@torch.no_grad()
def test_rows_that_are_alike_are_computed_as_one(calls: list[int]) -> None:
    encoder = tiny.tiny_text_encoder().model
    encode_repeated_texts_once(Pipeline(encoder))
    rows = ids(*[[4, 5, 6, 1]] * 3)
    output = encoder(rows).last_hidden_state
    assert calls == [1]
    assert output.shape[0] == 3
    assert torch.equal(output[0], output[2])
    encoder(ids([4, 5, 6, 1], [4, 5, 7, 1]))
    assert calls == [1, 2]


def test_where_rows_do_not_come_first_all_are_computed() -> None:
    seen: list[int] = []

    class TokensFirst:
        def forward(self, input_ids: torch.Tensor) -> Any:
            seen.append(len(input_ids))
            return BaseModelOutput(last_hidden_state=input_ids.T[..., None].float())

    encoder = TokensFirst()
    encode_repeated_texts_once(Pipeline(encoder))
    rows = ids(*[[4, 5, 6]] * 2)
    for _ in range(3):
        assert encoder.forward(rows).last_hidden_state.shape == (3, 2, 1)
    assert seen == [1, 2, 2, 2]
