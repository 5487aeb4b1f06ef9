"""From logits to answers: beam search over a batch of questions in lock-step.

Knows tokens and scores, no network. Shapes: `S` searches that still run, `B` beams, `V` vocabulary,
`t` tokens so far.

The rules are those of the judge's published pipeline and decide the answer, odd ones included: a
finished beam goes on being extended, and a search ends when the best of its beams is finished.
"""
# ruff: noqa: N803, N806, N815

from collections.abc import Sequence
from typing import NamedTuple, Protocol, Self

import torch
from torch import Tensor

from dpgbench.mplug.config import SearchRules

_FORBIDDEN = -1e20
_LENGTH_POWER = 0.6


class Hypothesis(NamedTuple):
    """One answer: tokens, start and end included, and its length-normalised log-probability."""

    token_ids: tuple[int, ...]
    score: float


class Step(Protocol):
    """The network, one token further.

    Called with, for every beam that is extended: its last token `token_SB`; `row_SB`, the row of
    the last call (search * beams + beam, as they were then) that it extends; and with `search_S`,
    the searches of the last call that still run. Returns logits [S, B, V].
    """

    def __call__(self, token_SB: Tensor, row_SB: Tensor, search_S: Tensor) -> Tensor:
        """Logits of the token after `token_SB`."""
        ...


class _Beams(NamedTuple):
    """Beams of the running searches, best first, and which were finished by their last token."""

    token_SBt: Tensor
    log_prob_SB: Tensor
    score_SB: Tensor
    row_SB: Tensor
    finished_SB: Tensor

    @classmethod
    def start(cls, num_searches: int, rules: SearchRules, device: torch.device) -> Self:
        """One beam a search: its start token. The others could only tie at minus infinity."""
        zeros_SB = torch.zeros(num_searches, 1, device=device)
        start_SBt = torch.full((num_searches, 1, 1), rules.start_id, device=device)
        return cls(start_SBt, zeros_SB, zeros_SB, zeros_SB.long(), zeros_SB.bool())

    def take(self, search_S: Tensor) -> Self:
        return type(self)(*(field[search_S] for field in self))


def beam_search(first_SV: Tensor, step: Step, rules: SearchRules) -> list[Hypothesis]:
    """The best answer of every search.

    Args:
        first_SV: float32 logits of the first token, one row a search.
        step: the network; called until all searches have ended.
        rules: beam size, lengths, tokens.

    Raises:
        ArithmeticError: logits are not numbers (the network overflowed in a narrow float type).
    """
    running = list(range(len(first_SV)))
    best: dict[int, Hypothesis] = {}
    beams = _Beams.start(len(first_SV), rules, first_SV.device)
    logits_SBV = _checked(first_SV)[:, None]
    for length in range(1, rules.max_length + 1):
        beams = _extend(beams, logits_SBV, length, rules)
        _keep_best(best, running, beams)
        still = [i for i, ended in enumerate(beams.finished_SB[:, 0].tolist()) if not ended]
        if not still:
            break
        running = [running[i] for i in still]
        search_S = torch.tensor(still, device=first_SV.device)
        beams = beams.take(search_S)
        logits_SBV = step(beams.token_SBt[..., -1], beams.row_SB, search_S)
    return [best[search] for search in range(len(first_SV))]


def first_tokens(first_SV: Tensor, rules: SearchRules) -> list[Hypothesis]:
    """The most probable first token of every search as its whole answer, and its log-probability.

    The end token is no answer where `rules` forbid it at the first step, just as in `beam_search`.
    """
    log_prob_SV = _next_log_probs(_checked(first_SV), 1, rules)
    score_S, token_S = log_prob_SV.max(1)
    return [
        Hypothesis((rules.start_id, token), score)
        for token, score in zip(token_S.tolist(), score_S.tolist(), strict=True)
    ]


def _next_log_probs(logits: Tensor, length: int, rules: SearchRules) -> Tensor:
    """Log-probabilities of the token number `length`, the end token forbidden if it is too soon."""
    log_probs = logits.log_softmax(-1, dtype=torch.float32)
    if length <= rules.min_length:
        log_probs[..., rules.end_id] = _FORBIDDEN
    return log_probs


def _extend(beams: _Beams, logits_SBV: Tensor, length: int, rules: SearchRules) -> _Beams:
    """The `beam_size` best continuations of each search, by length-normalised score."""
    S, B, V = logits_SBV.shape
    penalty = ((5.0 + length) / 6.0) ** _LENGTH_POWER
    log_prob_SBV = _next_log_probs(logits_SBV, length, rules) + beams.log_prob_SB[..., None]
    score_SB, choice_SB = (log_prob_SBV / penalty).flatten(1).topk(rules.beam_size)
    token_SB = choice_SB % V
    row_SB = choice_SB // V + B * torch.arange(S, device=choice_SB.device)[:, None]
    said_SBt = beams.token_SBt.flatten(0, 1)[row_SB]
    return _Beams(
        token_SBt=torch.cat([said_SBt, token_SB[..., None]], dim=-1),
        log_prob_SB=score_SB * penalty,
        score_SB=score_SB,
        row_SB=row_SB,
        finished_SB=(token_SB == rules.end_id) | (length == rules.max_length),
    )


def _keep_best(best: dict[int, Hypothesis], running: Sequence[int], beams: _Beams) -> None:
    """Stores finished beams, of each search only the one that counts: highest score, then first.

    The beams that are not finished when their search ends need no look: they come after the best.
    """
    scores, finished = beams.score_SB.tolist(), beams.finished_SB.tolist()
    for i, search in enumerate(running):
        if not any(finished[i]):
            continue
        j = finished[i].index(True)
        if search not in best or scores[i][j] > best[search].score:
            best[search] = Hypothesis(tuple(beams.token_SBt[i, j].tolist()), scores[i][j])


def _checked(first_SV: Tensor) -> Tensor:
    if not bool(first_SV.isfinite().all()):
        raise ArithmeticError(
            "the judge's network overflowed: its logits are not finite; use float32 or bfloat16"
        )
    return first_SV
