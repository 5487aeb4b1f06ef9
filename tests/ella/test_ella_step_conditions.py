"""What a denoiser is shown at each step: which tokens, in how many calls of the connector.

Tokens are held against those of the connector called for one text and one timestep.
"""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from ella import tiny
from ella.step_conditions import ROWS_ON_CPU, GuidedConditions, StepConditions, rows_that_fit

TIMESTEPS = [999.0, 750.0, 500.5, 20.0, 1.0]


def texts_of(*lengths, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(length, tiny.WIDTH, generator=generator) for length in lengths]


def counting(connector):
    """The connector's step, and a list of how many rows each call of it had."""
    calls = []

    def forward(projected, timesteps):
        calls.append(len(timesteps))
        return connector.forward_projected(projected, timesteps)

    return forward, calls


@torch.no_grad()
def alone(connector, text, timestep):
    return connector(text[None], timestep)[0]


def close(shown, expected):
    torch.testing.assert_close(shown, expected, atol=1e-5, rtol=1e-5)


def test_without_a_text_there_is_nothing_to_show():
    with pytest.raises(ValueError, match="`features` must hold at least one text"):
        StepConditions(tiny.tiny_connector(), [], TIMESTEPS)


@pytest.mark.parametrize(
    ("rows", "calls"), [(1, [2] * 5), (3, [2] * 5), (4, [4, 4, 2]), (99, [10])]
)
def test_steps_go_together_as_far_as_rows_allow_and_at_least_one(rows, calls):
    connector = tiny.tiny_connector()
    forward, made = counting(connector)
    steps = StepConditions(connector, texts_of(4, 4), TIMESTEPS, rows_at_once=rows, forward=forward)
    steps.finish()
    assert made == calls
    steps.finish()
    for step in range(len(TIMESTEPS)):
        steps.at(step)
    assert made == calls, "the connector is not needed any more"


def test_a_schedule_that_is_ready_needs_no_finish():
    connector = tiny.tiny_connector()
    forward, made = counting(connector)
    steps = StepConditions(connector, texts_of(4), TIMESTEPS, forward=forward)
    steps.at(0)
    steps.finish()
    assert made == [len(TIMESTEPS)]


@pytest.mark.parametrize("order", [range(5), [3, 4, 0, 1, 2], [4, 3, 2, 1, 0], [1, 4, 2, 0, 3]])
@pytest.mark.parametrize("rows", [1, 2, 3, 4])
def test_a_step_is_its_own_in_whatever_order_steps_come(order, rows):
    connector, (text,) = tiny.tiny_connector(), texts_of(4)
    steps = StepConditions(connector, [text], TIMESTEPS, rows_at_once=rows)
    for step in order:
        close(steps.at(step)[0], alone(connector, text, TIMESTEPS[step]))


def test_steps_of_a_batch_are_kept_whichever_comes_first():
    connector = tiny.tiny_connector()
    forward, made = counting(connector)
    steps = StepConditions(connector, texts_of(4), TIMESTEPS, rows_at_once=2, forward=forward)
    for step in (3, 2, 3, 4, 4, 0, 1):
        steps.at(step)
    assert made == [2, 1, 2]


def test_one_step_serves_all_where_time_does_not_count():
    connector = tiny.tiny_connector(kind="mlp")
    forward, made = counting(connector)
    (text,) = texts_of(4)
    steps = StepConditions(connector, [text], TIMESTEPS, rows_at_once=2, forward=forward)
    for step in range(len(TIMESTEPS)):
        close(steps.at(step)[0], alone(connector, text, 0.0))
    assert made == [1]


def test_a_step_that_the_schedule_lacks():
    steps = StepConditions(tiny.tiny_connector(), texts_of(4), TIMESTEPS)
    with pytest.raises(IndexError):
        steps.at(len(TIMESTEPS))


def test_tokens_and_embeddings_are_of_the_type_asked_for():
    connector = tiny.tiny_connector(pooled_width=12)
    steps = StepConditions(connector, texts_of(4), TIMESTEPS, dtype=torch.bfloat16)
    assert steps.at(0).dtype == steps.pooled.dtype == torch.bfloat16


@torch.no_grad()
def test_embeddings_are_of_each_text_in_order():
    connector = tiny.tiny_connector(pooled_width=12)
    texts = texts_of(4, 9, 4, 2)
    steps = StepConditions(connector, texts, TIMESTEPS)
    expected = [connector.pool_projected(connector.project_text(text[None])) for text in texts]
    close(steps.pooled, torch.cat(expected))
    assert StepConditions(tiny.tiny_connector(), texts, TIMESTEPS).pooled is None


def test_how_many_rows_a_gpus_memory_holds(monkeypatch):
    """1/32 of it over twelve tensors of queries and keys and twelve widths of the MLP a row."""
    connector = tiny.tiny_connector()
    assert rows_that_fit(connector, 5) == ROWS_ON_CPU
    on_gpu = SimpleNamespace(
        device=torch.device("cuda"), config=connector.config, dtype=torch.float16
    )
    bytes_a_row = (12 * (8 + 5) + 12 * 8) * tiny.WIDTH * 2
    for memory, rows in [
        (3 * 32 * bytes_a_row, 3),
        (3 * 32 * bytes_a_row - 1, 2),
        (32 * bytes_a_row, 1),
        (1, 1),
    ]:
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device, memory=memory: (0, memory))
        assert rows_that_fit(on_gpu, 5) == rows


# With guidance

CLIP = torch.arange(3 * 5 * tiny.WIDTH, dtype=torch.float64).view(3, 5, tiny.WIDTH) / 100


def padded(rows):
    longest = max(len(row) for row in rows)
    return torch.stack(
        [torch.cat([row, torch.zeros(longest - len(row), tiny.WIDTH)]) for row in rows]
    )


@pytest.mark.parametrize("kind", ["adaln", "mlp"])
@pytest.mark.parametrize("clip_positive", [None, CLIP])
@pytest.mark.parametrize("negative", [None, [0, 2, 2]])
@pytest.mark.parametrize("clip_negative", [None, CLIP.flip(0)])
@pytest.mark.parametrize("other", [False, True])
def test_rows_are_ellas_tokens_then_clips_then_zeros(
    kind, clip_positive, negative, clip_negative, other
):
    connector = tiny.tiny_connector(kind=kind)
    texts, others = texts_of(4, 7, 2), texts_of(3, 3, 6, seed=1)
    steps = StepConditions(connector, texts, TIMESTEPS)
    of_negatives = others if other else texts
    conditions = GuidedConditions(
        steps,
        [1, 0, 1],
        negative,
        clip_positive,
        clip_negative,
        StepConditions(connector, others, TIMESTEPS) if other else None,
    )

    def rows(texts, indices, clip, step):
        parts = []
        for row in range(3):
            tokens = [] if indices is None else [alone(connector, texts[indices[row]], step)]
            parts.append(torch.cat(tokens + ([] if clip is None else [clip[row].float()])))
        return parts

    has_negatives = negative is not None or clip_negative is not None
    for step, timestep in ((0, TIMESTEPS[0]), (3, TIMESTEPS[3])):
        positive = rows(texts, [1, 0, 1], clip_positive, timestep)
        negatives = rows(of_negatives, negative, clip_negative, timestep) if has_negatives else []
        shown, shown_negative = conditions.at(step)
        counts = [len(row) for row in positive], [len(row) for row in negatives]
        assert (conditions.positive_counts, conditions.negative_counts) == counts
        assert conditions.is_ragged is (len({*counts[0], *counts[1]}) > 1)
        expected = padded([*positive, *negatives])
        close(shown, expected[:3])
        assert shown.dtype == torch.float32
        if has_negatives:
            close(shown_negative, expected[3:])
            assert shown_negative.dtype == torch.float32
        else:
            assert shown_negative is None


def test_embeddings_of_prompts_and_of_negative_prompts():
    connector = tiny.tiny_connector(pooled_width=12)
    steps = StepConditions(connector, texts_of(4, 7, 2), TIMESTEPS)
    other = StepConditions(connector, texts_of(4, 7, seed=1), TIMESTEPS)
    without = StepConditions(tiny.tiny_connector(), texts_of(4), TIMESTEPS)
    positive, negative = GuidedConditions(steps, [1, 0], [2, 2]).pooled()
    assert torch.equal(positive, steps.pooled[[1, 0]])
    assert torch.equal(negative, steps.pooled[[2, 2]])
    _, negative = GuidedConditions(steps, [1, 0], [1, 0], other_steps=other).pooled()
    assert torch.equal(negative, other.pooled[[1, 0]])
    positive, negative = GuidedConditions(steps, [1, 0]).pooled()
    assert torch.equal(positive, steps.pooled[[1, 0]])
    assert negative is None
    for conditions in (
        GuidedConditions(without, [0], [0]),
        GuidedConditions(steps, [0], [0], other_steps=without),
        GuidedConditions(without, [0], [0], other_steps=steps),
    ):
        assert conditions.pooled() == (None, None)
