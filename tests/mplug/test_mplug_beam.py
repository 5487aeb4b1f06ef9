"""The search against one written as the rules read, without batches, caches or tricks."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dpgbench.mplug.beam import Hypothesis, _Beams, _keep_best, beam_search, first_tokens
from dpgbench.mplug.config import SearchRules

END = 1


def table_logits(seed, search, prefix, vocab_size):
    """Logits that follow from all tokens so far."""
    rng = np.random.default_rng([seed, search, *prefix])
    logits = rng.normal(0, 2, vocab_size)
    logits[END] += rng.choice([-2.0, 0.0, 3.0])
    return torch.tensor(logits, dtype=torch.float32)


class TableNetwork:
    """A stand-in for the decoder: keeps the tokens of each row, as a cache would."""

    def __init__(self, seed, num_searches, vocab_size, start):
        self.seed, self.vocab_size = seed, vocab_size
        self.searches = list(range(num_searches))
        self.prefixes = [[(start,)] for _ in range(num_searches)]
        self.calls = 0

    def logits(self):
        return torch.stack(
            [
                torch.stack([table_logits(self.seed, s, p, self.vocab_size) for p in prefixes])
                for s, prefixes in zip(self.searches, self.prefixes, strict=True)
            ]
        )

    def __call__(self, tokens, rows, searches):
        self.calls += 1
        flat = [prefix for prefixes in self.prefixes for prefix in prefixes]
        self.searches = [self.searches[i] for i in searches.tolist()]
        self.prefixes = [
            [(*flat[row], token) for row, token in zip(row_list, token_list, strict=True)]
            for row_list, token_list in zip(rows.tolist(), tokens.tolist(), strict=True)
        ]
        return self.logits()


def naive_search(seed, search, vocab_size, rules):
    """One search, beam by beam, in Python numbers."""
    beams = [((rules.start_id,), 0.0)]
    stored = []
    for step in range(rules.max_length):
        penalty = ((5 + step + 1) / 6) ** 0.6
        candidates = []
        for prefix, running in beams:
            logits = table_logits(seed, search, prefix, vocab_size)
            log_probs = torch.log_softmax(logits.double(), -1).tolist()
            for token, log_prob in enumerate(log_probs):
                forbidden = token == rules.end_id and step < rules.min_length
                total = running + (-1e20 if forbidden else log_prob)
                candidates.append((total / penalty, (*prefix, token)))
        best = sorted(candidates, key=lambda candidate: -candidate[0])[: rules.beam_size]
        beams = [(prefix, score * penalty) for score, prefix in best]
        last = step == rules.max_length - 1
        done = [last or prefix[-1] == rules.end_id for _, prefix in best]
        stored += [beam for beam, is_done in zip(best, done, strict=True) if is_done or done[0]]
        if done[0]:
            break
    return max(stored, key=lambda hypothesis: hypothesis[0])


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    num_searches=st.integers(1, 6),
    vocab_size=st.integers(7, 30),
    beam_size=st.integers(1, 5),
    max_length=st.integers(1, 7),
    min_length=st.integers(0, 2),
)
def test_each_search_of_a_batch_finds_what_a_naive_one_finds(
    seed, num_searches, vocab_size, beam_size, max_length, min_length
):
    rules = SearchRules(beam_size, max_length, min_length, start_id=0, end_id=END)
    network = TableNetwork(seed, num_searches, vocab_size, rules.start_id)
    hypotheses = beam_search(network.logits()[:, 0], network, rules)
    for search, hypothesis in enumerate(hypotheses):
        score, tokens = naive_search(seed, search, vocab_size, rules)
        assert hypothesis.token_ids == tokens
        if score > -1e15:
            assert math.isclose(hypothesis.score, score, rel_tol=1e-5, abs_tol=1e-5)


def run(steps, rules):
    """A search whose logits do not depend on the tokens so far: one row of logits a step."""
    rows = iter(steps[1:])

    def step(tokens, rows_taken, searches):
        return next(rows).expand(*tokens.shape, -1)

    (hypothesis,) = beam_search(steps[0][None], step, rules)
    return hypothesis


def log_probs(**by_token):
    """Logits of a vocabulary of 6 in which all else is next to impossible."""
    logits = torch.full((6,), -50.0)
    for token, probability in by_token.items():
        logits[int(token[1:])] = math.log(probability)
    return logits


def test_the_end_token_is_no_first_answer():
    rules = SearchRules(beam_size=2, max_length=2, start_id=0, end_id=END)
    first = log_probs(t1=0.9, t2=0.06, t3=0.04)
    assert run([first, log_probs(t1=1.0)], rules).token_ids == (0, 2, 1)
    assert first_tokens(first[None], rules)[0].token_ids == (0, 2)


def test_the_end_token_may_be_the_first_answer_where_the_rules_allow_it():
    rules = SearchRules(beam_size=2, max_length=2, min_length=0, start_id=0, end_id=END)
    first = log_probs(t1=0.9, t2=0.06, t3=0.04)
    assert first_tokens(first[None], rules)[0].token_ids == (0, END)
    assert run([first, log_probs(t1=1.0)], rules).token_ids == (0, END)


def test_a_finished_beam_that_is_not_the_best_is_kept_and_extended():
    # "2 1" is finished second best, then extended; the best goes on and becomes worse than it was
    rules = SearchRules(beam_size=2, max_length=3, start_id=0, end_id=END)
    steps = [log_probs(t2=1.0), log_probs(t3=0.55, t1=0.45), log_probs(t4=0.5, t5=0.5)]
    best = run(steps, rules)
    assert best.token_ids == (0, 2, 1)
    assert best.score == pytest.approx(math.log(0.45) / (7 / 6) ** 0.6, rel=1e-5)


def test_of_equals_the_one_that_was_finished_first_counts():
    def finished(*tokens, score):
        one = torch.tensor([[float(score)]])
        return _Beams(torch.tensor([[tokens]]), one, one, torch.tensor([[0]]), one < 1)

    best = {}
    for tokens, score in (((0, 2, 1), -0.5), ((0, 3, 4, 1), -0.5), ((0, 2, 4, 1), -0.75)):
        _keep_best(best, [7], finished(*tokens, score=score))
        assert best == {7: Hypothesis((0, 2, 1), -0.5)}
    _keep_best(best, [7], finished(0, 3, 3, 1, score=-0.25))
    assert best == {7: Hypothesis((0, 3, 3, 1), -0.25)}


def test_an_answer_longer_than_allowed_is_cut():
    rules = SearchRules(beam_size=2, max_length=3, start_id=0, end_id=END)
    assert run([log_probs(t2=1.0)] * 3, rules).token_ids == (0, 2, 2, 2)


def test_no_step_is_taken_once_all_searches_have_ended():
    rules = SearchRules(beam_size=3, start_id=0, end_id=END)
    seen = []

    def step(tokens, rows, searches):
        seen.append(searches.tolist())
        ends = log_probs(t1=1.0) if len(seen) == 1 else log_probs(t4=1.0)
        logits = ends.repeat(*tokens.shape, 1)
        logits[-1] = log_probs(t4=0.9, t1=0.1) if len(seen) == 1 else log_probs(t1=1.0)
        return logits

    beam_search(log_probs(t2=0.6, t3=0.4).repeat(3, 1), step, rules)
    assert seen == [[0, 1, 2], [2]]


def test_an_overflowed_network_is_refused():
    logits = torch.tensor([[0.0, float("nan")] + [0.0] * 5])
    with pytest.raises(ArithmeticError, match="not finite"):
        beam_search(logits, lambda *_: logits, SearchRules(start_id=0, end_id=END))
