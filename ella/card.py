"""`python -m ella.card OUT`: the model card of a trained connector, from what its run has kept.

Writes `OUT/README.md` as the Hugging Face hub reads it: what the connector is, how to draw with it,
how it was trained, what the looks on the way saw. What only its maker knows (the data and its
licence) is left open, and marked so.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from ella.connector_file import read_connector_file, read_trained_text
from ella.errors import EllaError, TrainingError, one_line
from ella.files import replacing

CARD = "README.md"
WEIGHTS = "connector.safetensors"
_UNSTATED = "(fill in)"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the card as the command line says; 0, or 1 for an error."""
    parser = argparse.ArgumentParser("python -m ella.card", description=__doc__)
    parser.add_argument("out", type=Path, help="folder of the training run")
    parser.add_argument("--name", help="of the connector; by default the folder's")
    parser.add_argument("--base", default=_UNSTATED, help="the base model's name on the hub")
    parser.add_argument("--text-encoder", default=_UNSTATED, help="the language model's")
    parser.add_argument("--data", default=_UNSTATED, help="what it was trained on, in words")
    parser.add_argument("--license", default="other", help="of the weights")
    options = parser.parse_args(arguments)
    try:
        card = card_of(
            options.out,
            name=options.name or options.out.resolve().name,
            base=options.base,
            text_encoder=options.text_encoder,
            data=options.data,
            license_name=options.license,
        )
        with replacing(options.out / CARD) as part:
            part.write_text(card, encoding="utf-8")
    except (EllaError, OSError, ValueError) as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        return 1
    print(options.out / CARD)
    return 0


def card_of(
    out: Path, *, name: str, base: str, text_encoder: str, data: str, license_name: str
) -> str:
    """The card's text.

    Raises:
        ConnectorFileError: If the run has no connector yet.
        TrainingError: If its newest checkpoint cannot be read.
    """
    config, tensors = read_connector_file(out / WEIGHTS)
    numbers = sum(tensor.numel() for tensor in tensors.values())
    text = read_trained_text(out / WEIGHTS)
    parts = [
        _front_matter(base, license_name),
        f"# {name}",
        f"An [ELLA](https://arxiv.org/abs/2403.05135) connector, of the kind {config.kind}: it"
        f" makes tokens for {base} of the texts of {text_encoder}. {numbers:,} numbers, float32.",
        "## Use",
        _usage(base, text_encoder),
        "## What it is",
        _table(("size", "value"), asdict(config)),
        _table(("texts in training", "value"), asdict(text)) if text else "Texts: not recorded.",
        "## Trained on",
        data,
        "## How it was trained",
        _settings(out),
        *_looks(out),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _front_matter(base: str, license_name: str) -> str:
    lines = ["---", f"license: {license_name}", "pipeline_tag: text-to-image", "tags:", "- ella"]
    if base != _UNSTATED:
        lines += [f"base_model: {base}", "base_model_relation: adapter"]
    return "\n".join([*lines, "---"])


def _usage(base: str, text_encoder: str) -> str:
    return f"""```python
from diffusers import DiffusionPipeline

from ella import Connector, Ella, TransformersTextEncoder

ella = Ella(
    Connector.from_safetensors("{WEIGHTS}"),
    TransformersTextEncoder.from_pretrained("{text_encoder}"),
)
pipeline = DiffusionPipeline.from_pretrained("{base}")
image = ella.generate(pipeline, "a dense prompt").images[0]
```"""


def _settings(out: Path) -> str:
    """What the newest checkpoint says of the run."""
    files = sorted((out / "checkpoints").glob("step-*.safetensors"))
    if not files:
        return "Not recorded: the run has no checkpoint any more."
    try:
        with safe_open(files[-1], framework="pt") as file:
            about = json.loads(file.metadata()["ella"])
        return f"{about['step']:,} steps.\n\n" + _table(("setting", "value"), about["settings"])
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(f"{files[-1]}: damaged ({one_line(error)}); delete it") from error


def _looks(out: Path) -> Iterator[str]:
    """What the looks on the way saw, as a table."""
    noted = [
        json.loads(file.read_text(encoding="utf-8"))
        for file in sorted(out.glob("looks/step-*/look.json"))
    ]
    if not noted:
        return
    rules = sorted(
        {
            (judge, rule)
            for look in noted
            for judge, scores in look.get("scores", {}).items()
            for rule in scores
        }
    )
    yield "## While it learnt"
    header = [
        "step",
        "pairs seen",
        "held-out loss",
        *(f"{rule} by {judge}" for judge, rule in rules),
    ]
    rows = [
        [
            str(look["step"]),
            str(look.get("samples", "")),
            _number(look.get("held_out_loss"), 4),
            *(_number(look.get("scores", {}).get(judge, {}).get(rule), 1) for judge, rule in rules),
        ]
        for look in noted
    ]
    lines = [header, ["---"] * len(header), *rows]
    yield "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _table(header: tuple[str, str], values: Mapping[str, Any]) -> str:
    rows = [header, ("---", "---"), *((name, str(value)) for name, value in values.items())]
    return "\n".join(f"| {name} | {value} |" for name, value in rows)


if __name__ == "__main__":
    sys.exit(main())
