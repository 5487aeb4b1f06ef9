"""Options that several commands share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from dpgbench.backends.base import JudgeRequest

Bench = Annotated[
    str | None,
    typer.Option("--bench", metavar="NAME|FILE.csv", help="Benchmark: dpg, shapes, or a CSV."),
]
Limit = Annotated[int | None, typer.Option("--limit", help="The first N items only.")]
Items = Annotated[
    str | None, typer.Option("--items", metavar="A,B", help="These items only, comma-separated.")
]
Source = Annotated[
    list[str] | None,
    typer.Option("--source", metavar="PREFIX", help="Items of this source only (repeatable)."),
]
Weights = Annotated[
    list[str] | None,
    typer.Option("--weights", metavar="ROLE=PATH", help="Weights on this machine (repeatable)."),
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, mps, cuda:1 ...")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
Dtype = Annotated[
    str, typer.Option("--dtype", help="The judge's precision; the reference is float32.")
]
Decode = Annotated[
    str | None,
    typer.Option("--decode", help="mplug: beam (exact) or first-token (another judge)."),
]
Revision = Annotated[
    str | None, typer.Option("--revision", help="Revision of the judge's weights to fetch.")
]
BaseUrl = Annotated[str | None, typer.Option("--base-url", help="openai: address of the server.")]
MaxRequests = Annotated[
    int | None, typer.Option("--max-requests", help="openai: stop after so many requests.")
]
Partial = Annotated[
    bool, typer.Option("--partial", help="Missing images or answers are expected: exit with 0.")
]


def judge_request(
    name: str | None,
    *,
    weights: list[str] | None = None,
    revision: str | None = None,
    device: str = "auto",
    dtype: str = "float32",
    batch_size: int | None = None,
    **options: Any,
) -> JudgeRequest:
    """Return the request that a command's words make; options left out are the judge's own."""
    from dpgbench.backends.base import JudgeRequest
    from dpgbench.backends.devices import check_dtype, find_device
    from dpgbench.backends.judges import DEFAULT_JUDGE, check_request, find_judge
    from dpgbench.backends.naming import parse_weights

    entry = find_judge(name or DEFAULT_JUDGE)
    request = JudgeRequest(
        name=entry.name,
        weights=parse_weights(weights or [], entry.roles, entry.name),
        revision=revision,
        device=find_device(device) if entry.on_device else device,
        dtype=check_dtype(dtype),
        batch_size=batch_size,
        options={option: value for option, value in options.items() if value is not None},
    )
    check_request(request)
    return request


def split_items(text: str | None) -> list[str]:
    """Return the ids of a comma-separated list."""
    return [item.strip() for item in (text or "").split(",") if item.strip()]
