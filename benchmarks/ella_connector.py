"""The connector's share of drawing: a call a step, or all steps of a schedule in one.

    python -m benchmarks.ella_connector --steps 10
    python -m benchmarks.ella_connector --size tiny --steps 10

Both ways in one run, in turns, on the same texts; ratios of the medians are what to look at. Real
size is the released connector's (66.8M numbers, 128 text tokens), with seeded weights. `--compile`
adds the one call compiled (its first run, which compiles, is not counted).
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ella import Connector, ConnectorConfig, new_connector, tiny
from ella.step_conditions import StepConditions


def main(arguments: Sequence[str] | None = None) -> dict[str, float]:
    """Measure, print one JSON object, and return it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=("real", "tiny"), default="real")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args(arguments)
    connector = (
        tiny.tiny_connector() if options.size == "tiny" else new_connector(ConnectorConfig())
    )
    connector = connector.to(options.device, getattr(torch, options.dtype)).eval()
    figures = measure(connector, options.steps, options.repeats, compiled=options.compile)
    print(json.dumps(figures))
    return figures


@torch.no_grad()
def measure(connector: Connector, steps: int, repeats: int, *, compiled: bool) -> dict[str, float]:
    """Milliseconds a step of each way, and how many times faster one call is than a call a step."""
    generator = torch.Generator().manual_seed(0)
    texts = [torch.randn(128, connector.config.input_dim, generator=generator) for _ in range(2)]
    texts = [text.to(connector.device, connector.dtype) for text in texts]
    timesteps = [999.0 - 900.0 * step / steps for step in range(steps)]
    variants: dict[str, Callable[[], Tensor]] = {
        "text and connector at each step": lambda: _anew(connector, texts, timesteps),
        "a call a step": lambda: _ahead(connector, texts, timesteps, rows=1),
        "one call": lambda: _ahead(connector, texts, timesteps, rows=len(texts) * steps),
    }
    if compiled:
        forward = torch.compile(connector.forward_projected)
        variants["one call, compiled"] = lambda: _ahead(
            connector, texts, timesteps, rows=len(texts) * steps, forward=forward
        )
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    results = {name: way() for name, way in variants.items()}  # warm, and compared
    for _ in range(repeats):
        for name, way in variants.items():
            start = time.perf_counter()
            way().sum().item()  # waits for the device
            seconds[name].append(time.perf_counter() - start)
    median = {name: statistics.median(some) for name, some in seconds.items()}
    figures = {f"{name}, ms a step": 1000 * value / steps for name, value in median.items()}
    for name in list(variants)[2:]:
        figures[f"{name}: times faster"] = median["a call a step"] / median[name]
        difference = (results[name] - results["a call a step"]).abs().max()
        figures[f"{name}: largest difference"] = float(difference)
    return figures


def _anew(connector: Connector, texts: list[Tensor], timesteps: list[float]) -> Tensor:
    """As ELLA's own code: prompt and negative prompt, from their features, at each step."""
    return torch.stack(
        [torch.cat([connector(text[None], timestep) for text in texts]) for timestep in timesteps]
    )


def _ahead(
    connector: Connector,
    texts: list[Tensor],
    timesteps: list[float],
    *,
    rows: int,
    forward: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> Tensor:
    conditions = StepConditions(
        connector,
        texts,
        timesteps,
        device=connector.device,
        dtype=connector.dtype,
        rows_at_once=rows,
        forward=forward,
    )
    return torch.stack([conditions.at(step) for step in range(len(timesteps))])


if __name__ == "__main__":
    main()
