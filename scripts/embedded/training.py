"""What the training scripts of the embedded models share: flags, schedule, average, checkpoints."""

from __future__ import annotations

import argparse
import copy
import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from tqdm import tqdm

from dpgbench.store.files import replacing

Network = TypeVar("Network", bound=nn.Module)

WARMUP = 200
DECAY = 0.25
"""The last part of the steps, in which the learning rate falls to zero."""
EMA_HALF_LIFE = 0.01
"""Half-life of the averaged weights, as a part of the steps done so far."""


def parser(doc: str | None, *, steps: int, batch: int, rate: float) -> argparse.ArgumentParser:
    """Flags that every script has."""
    flags = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    flags.add_argument("--work", type=Path, required=True, help="folder of all training files")
    flags.add_argument("--steps", type=int, default=steps)
    flags.add_argument("--batch", type=int, default=batch)
    flags.add_argument("--rate", type=float, default=rate, help="learning rate")
    flags.add_argument("--seed", type=int, default=0)
    flags.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    flags.add_argument("--save-every", type=int, default=500, help="steps between checkpoints")
    return flags


class Trainer(Generic[Network]):
    """Steps of AdamW with an average of the weights; stops and goes on at its checkpoints.

    Args:
        name: Of the training: its checkpoint is `WORK/NAME.pt`, its figures `WORK/NAME.json`.
        network: What learns.
        args: The flags of `parser`.
    """

    def __init__(self, name: str, network: Network, args: argparse.Namespace) -> None:
        self.name, self.network, self.args = name, network, args
        self.average = copy.deepcopy(network).requires_grad_(False)
        learning = [p for p in network.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": [p for p in learning if p.ndim > 1], "weight_decay": 0.01},
                {"params": [p for p in learning if p.ndim <= 1], "weight_decay": 0.0},
            ],
            lr=args.rate,
            betas=(0.9, 0.98),
            fused=True,
        )
        self.step, self.seconds = 0, 0.0
        self.history: list[dict[str, float]] = []
        self.path = args.work / f"{name}.pt"
        if self.path.exists():
            self._resume()

    def run(self, loss_of: Callable[[torch.Generator], dict[str, Tensor]]) -> None:
        """Train up to the last step; `loss_of` draws a batch and gives the losses to add up.

        What it gives may depend on `step`, the number of steps before this one.
        """
        began = time.perf_counter() - self.seconds
        seen: dict[str, float] = {}
        steps = range(self.step, self.args.steps)
        bar = tqdm(steps, self.name, self.args.steps, initial=self.step, mininterval=5)
        for step in bar:
            generator = torch.Generator().manual_seed(self.args.seed * 1_000_003 + step)
            # On a CPU, small heads are faster as plain products than in the fused kernel.
            with torch.autocast(self.args.device, torch.bfloat16), sdpa_kernel(SDPBackend.MATH):
                losses = loss_of(generator)
                total = torch.stack([loss.float() for loss in losses.values()]).sum()
            total.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
            for group in self.optimizer.param_groups:
                group["lr"] = self.args.rate * self._share(step)
            self.optimizer.step()
            self.optimizer.zero_grad()
            self._follow(step)
            for key, loss in losses.items():
                value = float(loss.detach())
                seen[key] = seen.get(key, value) * 0.98 + value * 0.02
            bar.set_postfix({key: f"{mean:.4f}" for key, mean in seen.items()}, refresh=False)
            self.step, self.seconds = step + 1, time.perf_counter() - began
            if self.step % self.args.save_every == 0 or self.step == self.args.steps:
                self.history.append({"step": self.step, **seen})
                self._save()

    def report(self, **figures: Any) -> None:
        """Write what was reached, as JSON."""
        size = sum(p.numel() for p in self.network.parameters())
        record = {"steps": self.step, "batch": self.args.batch, "seconds": round(self.seconds)}
        record |= {"parameters": size, "device": self.args.device, "seed": self.args.seed}
        text = json.dumps({**record, **figures, "history": self.history}, indent=1)
        (self.args.work / f"{self.name}.json").write_text(text + "\n", encoding="utf-8")

    def _share(self, step: int) -> float:
        """The part of the full learning rate at a step: up, level, down to zero."""
        left = (self.args.steps - step) / (DECAY * self.args.steps)
        return float(min(1.0, (step + 1) / WARMUP, left))

    @torch.no_grad()
    def _follow(self, step: int) -> None:
        keep = 0.5 ** (1 / (EMA_HALF_LIFE * step + 10))
        torch._foreach_lerp_(
            list(self.average.parameters()), list(self.network.parameters()), 1 - keep
        )

    def _save(self) -> None:
        state = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "history": self.history,
        }
        with replacing(self.path) as part, part.open("wb") as file:
            torch.save(state, file)

    def _resume(self) -> None:
        state = torch.load(self.path, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.seconds, self.history = state["step"], state["seconds"], state["history"]


def chunks(items: Iterable[Any], size: int) -> Iterable[list[Any]]:
    """Runs of up to `size` items."""
    held = list(items)
    return (held[start : start + size] for start in range(0, len(held), size))
