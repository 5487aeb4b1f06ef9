"""The training itself: batches, losses, schedule, averaged weights, and a state to go on from."""

from __future__ import annotations

import copy
import math
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm

from judge.batches import Batches
from judge.network import Losses, TrainedJudge


@dataclass
class Progress:
    """Where a training stands."""

    step: int = 0
    label_steps: int = 0
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)


class Training:
    """A network in training; `path` holds its state between runs."""

    def __init__(self, model: TrainedJudge, batches: Batches, path: Path) -> None:
        self.model, self.batches, self.plan, self.path = model, batches, batches.plan, path
        self.average = copy.deepcopy(model).requires_grad_(False)
        self.progress = Progress()
        self._warm_from = 0
        matrices = [p for p in model.parameters() if p.ndim > 1]
        others = [p for p in model.parameters() if p.ndim <= 1]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": matrices, "weight_decay": self.plan.weight_decay},
                {"params": others, "weight_decay": 0.0},
            ],
            lr=self.plan.rate,
            betas=(0.9, 0.98),
            fused=True,
        )
        if path.exists():
            self._resume()

    def run(self) -> None:
        """Learn until time or steps are used up."""
        began = time.perf_counter() - self.progress.seconds
        seen: dict[str, float] = {}
        bar = tqdm(initial=self.progress.step, mininterval=10, desc="judge")
        while (done := self._done()) < 1:
            rng = torch.Generator().manual_seed(self.plan.seed * 1_000_003 + self.progress.step)
            with torch.autocast(self.batches.device.type, torch.bfloat16):
                if done < self.plan.label_part:
                    loss = self.model.labels_only(*self.batches.of_labels(rng))
                    terms = {"labels": loss}
                    self.progress.label_steps += 1
                else:
                    with_end = self.progress.step % self.plan.end_every == 0
                    losses = self.model(*self.batches.of_questions(rng), with_end)
                    loss, terms = self._total(losses), losses._asdict()
                    if not with_end:
                        del terms["end"]
            self._learn(loss, done)
            for name, value in terms.items():
                number = float(value.detach())
                seen[name] = 0.97 * seen.get(name, number) + 0.03 * number
            self.progress.step += 1
            self.progress.seconds = time.perf_counter() - began
            bar.update()
            if self.progress.step % self.plan.save_every == 0:
                self._note(seen)
            bar.set_postfix({k: f"{v:.3f}" for k, v in seen.items()}, refresh=False)
        self._note(seen)

    def _note(self, seen: dict[str, float]) -> None:
        progress = self.progress
        figures = {name: round(value, 5) for name, value in seen.items()}
        progress.history.append(
            {"step": progress.step, "seconds": round(progress.seconds), **figures}
        )
        self.save()

    def _done(self) -> float:
        """The part of the training that is over."""
        if self.plan.minutes is None:
            return self.progress.step / self.plan.steps
        return self.progress.seconds / (60 * self.plan.minutes)

    def _rate(self, done: float) -> float:
        plan = self.plan
        late = max(0.0, (done - 1 + plan.decay_part) / plan.decay_part)
        share = plan.rate_at_end + (1 - plan.rate_at_end) * 0.5 * (1 + math.cos(math.pi * late))
        if self.progress.step == self.progress.label_steps:
            warm_from = 0
        else:
            warm_from = max(self.progress.label_steps, self._warm_from)
        warm = (self.progress.step - warm_from + 1) / plan.warmup_steps
        return plan.rate * share * min(1.0, warm)

    def _total(self, losses: Losses) -> Tensor:
        plan = self.plan
        return (
            losses.answer
            + plan.early_weight * losses.early
            + plan.hint_weight * losses.hints
            + plan.whole_weight * losses.whole
            + plan.end_weight * losses.end
            + plan.label_weight * losses.labels
        )

    def _learn(self, loss: Tensor, done: float) -> None:
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.model.parameters(), self.plan.clip_norm)
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate(done)
        self.optimizer.step()
        self.optimizer.zero_grad()
        keep = 0.5 ** (1 / (self.plan.average_part * self.progress.step + 10))
        with torch.no_grad():
            averaged, current = self.average.parameters(), self.model.parameters()
            torch._foreach_lerp_(list(averaged), list(current), 1 - keep)

    def save(self) -> None:
        """Write the state, wholly or not at all."""
        state = {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.progress.step,
            "label_steps": self.progress.label_steps,
            "seconds": self.progress.seconds,
            "history": self.progress.history,
        }
        unfinished = self.path.with_suffix(".part")
        torch.save(state, unfinished)
        unfinished.replace(self.path)

    def _resume(self) -> None:
        """Go on from the state of an earlier run.

        Heads that have since changed start anew, and with them the optimizer; the judge's own
        weights must fit.
        """
        state = torch.load(self.path, weights_only=True)
        own = self.model.state_dict()
        fits = {name for name, tensor in state["model"].items() if _is_like(tensor, own.get(name))}
        for model, saved in ((self.model, state["model"]), (self.average, state["average"])):
            model.load_state_dict({name: saved[name] for name in fits}, strict=False)
            model.mplug.load_state_dict(_of_judge(saved))
        self.progress = Progress(
            state["step"], state["label_steps"], state["seconds"], state["history"]
        )
        if fits == set(own):
            self.optimizer.load_state_dict(state["optimizer"])
        else:
            self._warm_from = self.progress.step


def _is_like(tensor: Tensor, other: Tensor | None) -> bool:
    return other is not None and tensor.shape == other.shape


def _of_judge(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights that are no training heads."""
    prefix = "mplug."
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in state.items()
        if name.startswith(prefix)
    }
