"""`dpgbench models`: which generators can be named, what they need, and where settings are from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dpgbench.cli.console import echo, print_json
from dpgbench.cli.options import AsJson, complete_model

if TYPE_CHECKING:
    from dpgbench.backends.entries import ModelEntry
    from dpgbench.backends.generators.published_models import PublishedModel, Sourced

UNKNOWN = "unknown"
_FACTS = {
    "repository": "repository",
    "revision": "revision",
    "variant": "variant of its files",
    "licence": "licence",
    "gated": "gated",
    "pipeline": "pipeline",
    "px": "size (px)",
    "steps": "steps",
    "guidance": "guidance",
    "negative_prompt": "negative prompt",
    "rows": "denoiser rows an image",
    "scheduler": "scheduler",
    "dtype": "precision on a GPU",
    "memory": "memory on a GPU",
    "prompt": "around the prompt",
    "packages": "further packages",
}
_OFTEN_NONE = ("variant", "negative_prompt", "prompt", "packages")
"""Facts that most models have not: nothing is unknown about them."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("models")(models)


def models(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[MODEL]",
            help="One model: each setting with its source.",
            autocompletion=complete_model,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the generators: settings, and the weights that each needs by role."""
    from dpgbench.backends.generators.table import FORMS, MODELS, find_model

    if name is not None:
        entry = find_model(name)
        if as_json:
            print_json({"model": {**_described(entry), **_facts_as_json(entry)}})
        else:
            echo("\n".join(_details(entry)))
        return
    if as_json:
        print_json({"models": [_described(entry) for entry in MODELS.values()], "forms": FORMS})
        return
    for entry in MODELS.values():
        echo(f"{entry.name}\n  {entry.summary}\n  {_settings(entry)}")
        for line in _weights(entry):
            echo(f"  {line}")
    for form, meaning in FORMS.items():
        echo(f"{form}\n  {meaning}")
    echo(f"'dpgbench models MODEL' names the source of each setting; {UNKNOWN}: no source says it")


def _described(entry: ModelEntry) -> dict[str, Any]:
    return {
        "name": entry.name,
        "summary": entry.summary,
        "world": entry.world,
        "settings": {**entry.defaults, "options": {**entry.options, **entry.variant_options}},
        "further_options": dict(entry.rare_options),
        "weights": {role.name: role.source_text for role in entry.roles},
    }


def _settings(entry: ModelEntry) -> str:
    """Return the settings in a line; what is left to the repository or unknown is said."""
    settings = entry.defaults
    model = _published(entry)
    width, height = settings.get("width_px"), settings.get("height_px")
    size = f"{width}x{height} px" if width else f"size {UNKNOWN} (the repository's)"
    guidance = settings.get("guidance_scale")
    argument = f" ({model.guidance_argument})" if model and guidance is not None else ""
    scheduler = settings.get("scheduler") or (model and model.value("scheduler"))
    return (
        f"{size}, {settings.get('steps', UNKNOWN)} steps, "
        f"guidance {UNKNOWN if guidance is None else guidance}{argument}, "
        f"{scheduler or 'the scheduler of its repository'}"
    )


def _weights(entry: ModelEntry) -> Iterator[str]:
    for role in entry.roles:
        yield f"--weights {role.name}=PATH   {role.what}; else {role.source_text}"
    if entry.world:
        yield f"knows the world of {entry.world} alone: elsewhere scores mean nothing"


def _published(entry: ModelEntry) -> PublishedModel | None:
    from dpgbench.backends.generators.published_models import published_model

    return published_model((entry.variant_of or entry.name).removeprefix("hf:"))


def _details(entry: ModelEntry) -> Iterator[str]:
    """Yield the lines about one model."""
    yield f"{entry.name}: {entry.summary}"
    yield _settings(entry)
    options = {**entry.all_options, **entry.variant_options}
    yield from (f"--option {key}={_as_option(value)}" for key, value in options.items())
    yield from _weights(entry)
    model = _published(entry)
    if (prompts := _prompts_in_a_call(entry, model)) is not None:
        yield f"--batch-size: {prompts} a call"
    if model is None:
        yield "no source is recorded for it"
        return
    yield ""
    for label, value, source in _rows(model):
        yield f"{label:24}{value}" + (f"   [{source}]" if source else "")
    yield from (f"note: {note}" for note in model.notes)


def _prompts_in_a_call(entry: ModelEntry, model: PublishedModel | None) -> str | None:
    """Return how many prompts a call of the model takes, in words; None where it is not known."""
    from dpgbench.backends.generators.hub_classes import prompts_in_a_call

    pipeline = model.value("pipeline") if model else None
    if entry.world:  # embedded: the small Stable Diffusions
        pipeline = "StableDiffusionPipeline"
    if not pipeline:
        return None
    return "one prompt" if prompts_in_a_call(pipeline) == "one" else "several prompts"


def _rows(model: PublishedModel) -> Iterator[tuple[str, str, str]]:
    """Yield what is known of a model, and what is not: label, value, source."""
    for name, label in _FACTS.items():
        fact = model.facts.get(name)
        if fact is not None:
            yield label, _in_words(model, name, fact), fact.source
        elif name not in _OFTEN_NONE:
            yield label, UNKNOWN, ""
    for role, fact in model.extra.items():
        yield role, fact.value, fact.source
    for name, fact in (*model.arguments.items(), *model.scheduler_arguments.items()):
        yield name, _as_option(fact.value), fact.source
    for encoder in model.encoders:
        tokens = UNKNOWN if encoder.tokens is None else encoder.tokens
        yield "text encoder", f"{encoder.name}: {tokens} tokens", encoder.source
    if not model.encoders:
        yield "text encoder", UNKNOWN, ""
    scores = model.scores()
    for score in scores:
        yield "published DPG-Bench", score.average, score.source
    if not scores:
        yield "published DPG-Bench", UNKNOWN, ""


def _in_words(model: PublishedModel, name: str, fact: Sourced) -> str:
    if name == "guidance":
        return f"{fact.value} ({model.guidance_argument})"
    if name == "negative_prompt" and not fact.value.strip():
        return "a space" if fact.value else "empty"
    return _as_option(fact.value)


def _as_option(value: Any) -> str:
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def _facts_as_json(entry: ModelEntry) -> dict[str, Any]:
    """Return each fact with its source; null where it is unknown."""
    model = _published(entry)
    if model is None:
        return {"facts": None}

    def plain(fact: Sourced | None) -> dict[str, object] | None:
        return None if fact is None else fact._asdict()

    return {
        "facts": {name: plain(model.facts.get(name)) for name in _FACTS},
        "guidance_argument": model.guidance_argument,
        "arguments": {name: plain(fact) for name, fact in model.arguments.items()},
        "scheduler_arguments": {
            name: plain(fact) for name, fact in model.scheduler_arguments.items()
        },
        "extra_weights": {role: plain(fact) for role, fact in model.extra.items()},
        "encoders": [encoder._asdict() for encoder in model.encoders] or None,
        "published": [
            {"model": one.model, "score": one.average, "source": one.source, "note": one.note}
            for one in model.scores()
        ],
        "notes": list(model.notes),
    }
