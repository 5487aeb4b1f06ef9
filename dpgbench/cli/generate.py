"""`dpgbench generate`: prompts to grids."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dpgbench.cli.console import command_line, echo, print_json, raise_incomplete, say
from dpgbench.cli.event_log import LogJson, logging_events
from dpgbench.cli.option_groups import with_option_groups
from dpgbench.cli.options import (
    AsJson,
    Bench,
    Device,
    EngineChoice,
    Grace,
    ItemOptions,
    ShardChoice,
    WeightPaths,
    complete_model,
    parse_options,
    parse_revisions,
    parse_weights,
)
from dpgbench.domain.shard import Shard
from dpgbench.errors import UsageError, counted
from dpgbench.interrupts import GRACE_SECONDS, set_grace

if TYPE_CHECKING:
    from dpgbench.backends.entries import ModelEntry
    from dpgbench.backends.generators.drawing_options import DrawingOptions
    from dpgbench.backends.generators.images_api.options import ServerOptions
    from dpgbench.backends.generators.plan import GeneratorSettings
    from dpgbench.store.benchmark_table import NamedBenchmark


PriceImage = Annotated[
    float | None, typer.Option("--price-image", help="images-api: dollars for an image.")
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("generate")(generate)


@dataclass(frozen=True)
class SettingOptions:
    """What replaces the model's own settings: fields of `GenerationSpec`."""

    num_images: Annotated[
        int | None,
        typer.Option(
            "--num-images", help="Images a prompt: 1 to 10 (default: 4; t2i-compbench: 10)."
        ),
    ] = None
    seed: Annotated[int, typer.Option("--seed", help="Base seed; tile k gets seed + k.")] = 0
    seed_rule: Annotated[
        str | None,
        typer.Option(
            "--seed-rule",
            help="per-tile (same seeds for every item), per-item, or t2i-compbench (42, 43, ...; "
            "that benchmark's default).",
        ),
    ] = None
    steps: Annotated[int | None, typer.Option("--steps", help="Denoising steps.")] = None
    guidance: Annotated[
        float | None, typer.Option("--guidance", help="Classifier-free guidance scale.")
    ] = None
    negative_prompt: Annotated[
        str | None, typer.Option("--negative-prompt", help="What to keep out of the image.")
    ] = None
    width: Annotated[int | None, typer.Option("--width", help="Pixels of one image.")] = None
    height: Annotated[int | None, typer.Option("--height", help="Pixels of one image.")] = None
    dtype: Annotated[str | None, typer.Option("--dtype", help="float32, float16 or bfloat16.")] = (
        None
    )
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--option",
            metavar="NAME=VALUE",
            help="A setting of this model alone, such as text_length=fixed (repeatable).",
        ),
    ] = None

    def settings(
        self, defaults: Mapping[str, Any], named: NamedBenchmark | None = None
    ) -> GeneratorSettings:
        """Return the settings; None where the model's own stands.

        Args:
            defaults: the model's own options.
            named: the benchmark, whose authors may have a number of images and a rule of seeds of
                their own; None is one that the table does not have.

        Raises:
            UsageError: there is no such rule of seeds, precision or option.
        """
        from dpgbench.backends.device import check_dtype
        from dpgbench.domain.spec import check_seed_rule

        usual = named.images if named else 4
        own_rule = named.seed_rule if named and not self.seed else ""  # which has no base seed
        return {
            "num_images": usual if self.num_images is None else self.num_images,
            "base_seed": self.seed,
            "seed_rule": check_seed_rule(self.seed_rule or own_rule or "per-tile"),
            "steps": self.steps,
            "guidance_scale": self.guidance,
            "negative_prompt": self.negative_prompt,
            "width_px": self.width,
            "height_px": self.height,
            "dtype": check_dtype(self.dtype) if self.dtype else None,
            "options": parse_options(self.option or [], defaults),
        }


@dataclass(frozen=True)
class CallOptions:
    """How items share calls of the networks: pixels stay as they are, but for rounding."""

    batch_size: Annotated[
        str,
        typer.Option(
            "--batch-size",
            metavar="auto|N",
            help="Items (prompts) drawn in one call; auto: as many as fit into memory.",
        ),
    ] = "1"
    compile: Annotated[
        bool, typer.Option("--compile", help="torch.compile for denoiser and VAE.")
    ] = False

    def options(self) -> DrawingOptions:
        """Return them.

        Raises:
            UsageError: it is no batch size.
        """
        from dpgbench.backends.generators.drawing_options import DrawingOptions, parse_batch_size

        return DrawingOptions(parse_batch_size(self.batch_size), self.compile)


@dataclass(frozen=True)
class ServerChoice:
    """How a server of images is asked."""

    base_url: Annotated[
        str | None, typer.Option("--base-url", help="images-api: address of the server.")
    ] = None
    concurrency: Annotated[
        int | None, typer.Option("--concurrency", help="images-api: requests in flight at most.")
    ] = None
    max_requests: Annotated[
        int | None, typer.Option("--max-requests", help="images-api: stop after so many requests.")
    ] = None
    price_in: Annotated[
        float | None,
        typer.Option("--price-in", help="images-api: dollars for a million prompt tokens."),
    ] = None
    price_out: Annotated[
        float | None,
        typer.Option("--price-out", help="images-api: dollars for a million image tokens."),
    ] = None
    price_image: PriceImage = None

    def options(self) -> ServerOptions:
        """Return how the server is asked."""
        from dpgbench.backends.generators.images_api.options import NUM_REQUESTS, ServerOptions

        return ServerOptions(
            NUM_REQUESTS if self.concurrency is None else self.concurrency,
            self.max_requests,
            self.price_in,
            self.price_out,
            self.price_image,
        )

    def address(self, entry: ModelEntry) -> dict[str, str]:
        """Return the server's address as one of the model's options; nothing where none is given.

        Raises:
            UsageError: it is no address, or the model has no server.
        """
        if self.base_url is None:
            return {}
        if "base_url" not in entry.options:
            raise UsageError(
                f"--base-url is for servers (--model images-api:MODEL); {entry.name} is drawn here"
            )
        from dpgbench.backends.generators.images_api.client import PATH
        from dpgbench.backends.openai_server import check_base_url

        return {"base_url": check_base_url(self.base_url, PATH)}


@with_option_groups
def generate(
    *,
    model: Annotated[
        str,
        typer.Option(
            "--model",
            help="Name; 'dpgbench models' lists them.",
            autocompletion=complete_model,
        ),
    ],
    bench: Bench = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Run directory (default: runs/MODEL-IDENTITY).")
    ] = None,
    settings: SettingOptions,
    device: Device = "auto",
    weights: WeightPaths = None,
    revision: Annotated[
        list[str] | None,
        typer.Option(
            "--revision",
            metavar="[ROLE=]REVISION",
            help="Revision of the weights to fetch (repeatable; default: the table's).",
        ),
    ] = None,
    calls: CallOptions,
    server: ServerChoice,
    items: ItemOptions,
    single_images: Annotated[
        bool,
        typer.Option("--single-images", help="Write each image as a file of its own too."),
    ] = False,
    shard: ShardChoice = None,
    engine: EngineChoice,
    grace: Grace = GRACE_SECONDS,
    log_json: LogJson = None,
    as_json: AsJson = False,
) -> None:
    """Draw a grid for each prompt; the same command again resumes."""
    from dpgbench.backends.generators.plan import GeneratorRequest
    from dpgbench.backends.generators.table import find_model
    from dpgbench.jobs.generate import GenerateRequest
    from dpgbench.jobs.generate import generate as run
    from dpgbench.store.benchmark_table import asked_by_name
    from dpgbench.store.benchmarks import load_benchmark

    with logging_events(log_json, "generate") as events:
        set_grace(grace)
        entry = find_model(model)
        paths = parse_weights(weights or [], entry.roles, model)
        benchmark = load_benchmark(bench or entry.benchmark)
        chosen = settings.settings(entry.all_options, asked_by_name(benchmark))
        chosen["options"] = {**chosen["options"], **server.address(entry)}
        outcome = run(
            GenerateRequest(
                items=items.choice().of(benchmark),
                generator=GeneratorRequest(
                    model,
                    paths,
                    chosen,
                    device,
                    parse_revisions(revision or [], entry.roles),
                    server.options(),
                    calls.options(),
                ),
                benchmark=benchmark,
                out=out,
                shard=Shard.parse(shard) if shard is not None else None,
                engine=engine.options(),
                command=command_line(),
                events=events,
                single_images=single_images,
            )
        )
        for note in outcome.notes:
            say(f"note: {note}")
        if images := (outcome.batch or {}).get("images_that_fit"):
            say(f"note: memory ran out: {counted(images, 'image')} a call from then on")
        if as_json:
            print_json(
                {
                    "run": str(outcome.run.path),
                    "drawn": outcome.drawn,
                    "kept": outcome.kept,
                    "failures": dict(outcome.failures),
                    "batch": outcome.batch,
                }
            )
        else:
            echo(
                f"{counted(outcome.drawn, 'grid')} drawn, {outcome.kept} there before: "
                f"{outcome.run.path}"
            )
        raise_incomplete(
            outcome.failures,
            "not drawn",
            partial=False,
            next_step="the same command tries what failed again",
        )
