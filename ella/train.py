"""`python -m ella.train`: a connector from a folder of pictures and captions.

Settings come from flags, or from a TOML file of the same names (with `_` for `-`); flags win.
Errors are one line on standard error; the same command resumes.
"""

from __future__ import annotations

import argparse
import difflib
import os
import shutil
import sys
import time
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from ella.config import TRAINED_LENGTH, ConnectorKind
from ella.errors import EllaError, is_out_of_memory, one_line
from ella.recipes import recipe_file, recipes
from ella.training.config import TrainConfig

if TYPE_CHECKING:
    from ella.data.pairs import IndexedPairs
    from ella.training.looks import Looks
    from ella.training.trainer import Trainer

KINDS = get_args(ConnectorKind)
REQUIRED = {
    "base": "folder of the diffusers model: unet or transformer, vae, scheduler",
    "text_encoder": "folder of the language model and its tokenizer",
    "data": "folder of pictures and captions in any layout, or one list, shard or table; FOLDER:0.3"
    " gives it a share of the samples; may be repeated",
    "out": "folder for checkpoints, metrics and the finished connector",
}
OPTIONAL = {
    "init": "connector file to begin with; by default a new connector",
    "cache_folder": "where caches on disk are; by default OUT/cache",
    "look_data": "held-out pairs, as --data, for the loss of a look; by default none",
}
LOOKS = {
    "look_bench": "benchmark whose prompts a look draws (as dpgbench generate --bench)",
    "look_model": "of dpgbench models: what a look draws with (default ella-sd15)",
    "look_judge": "judge that scores a look's pictures; by default none",
    "look_options": "further words for dpgbench generate in a look, as in a shell",
}
SIZES = {
    "connector_layers": "resampler blocks of a new connector (default 6)",
    "connector_heads": "attention heads of a new connector (default 8)",
    "connector_num_latents": "tokens that a new connector gives (default 64)",
    "connector_time_channel": "channels of its sinusoidal timestep (default 320)",
    "connector_time_embed_dim": "width of its embedded timestep (default 768)",
}
TEXT = {
    "text_tokens": "tokens under --length fixed (default 128, as `ella` draws with)",
    "text_layer": "hidden layer of the language model; negative ones count from its end (default:"
    " the last, after its final norm)",
    "look_limit": "prompts that a look draws (default: all of the benchmark)",
}
CHOICES: dict[str, tuple[str, tuple[str, ...]]] = {
    "connector_kind": ("of a new connector, as in the paper's Table 6 (default adaln)", KINDS),
    "text_dtype": (
        "precision of the language model (default auto: float16, on a CPU float32)",
        ("auto", "float16", "bfloat16", "float32"),
    ),
}
PATHS = REQUIRED | OPTIONAL
WORDS = PATHS | LOOKS
NUMBERS = SIZES | TEXT
CONFIG = get_type_hints(TrainConfig)
NEW_CONNECTOR = [*SIZES, "connector_kind"]


_LONGEST_REASON = 300  # characters of what torch says of memory


class CommandError(EllaError):
    """The command line, or the file of settings, cannot be used."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Train as the command line says; 0, 1 for an error, 130 where interrupted."""
    options = build_parser().parse_args(arguments)
    try:
        file = _train(_settings(vars(options)))
    except KeyboardInterrupt:
        return _fail("interrupted; the same command resumes from the last checkpoint", 130)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return _fail(
            f"out of memory ({one_line(error)[:_LONGEST_REASON]}); start the same command with a"
            " smaller --batch-size (with --global-batch the samples stay the same), with"
            " --gradient-checkpointing, or under --length flexible with --sentence-tokens;"
            " it resumes",
            1,
        )
    except (EllaError, OSError) as error:
        if getattr(error, "in_all_processes", False) and not _is_first():
            return 1  # the first process says it
        return _fail(one_line(error), 1)
    if _is_first():
        print(file)
    return 0


def _is_first() -> bool:
    """Whether this process is the first one of those that a launcher started."""
    return os.environ.get("RANK", "0") == "0"


def build_parser() -> argparse.ArgumentParser:
    """The flags: paths, sizes, and every field of `TrainConfig`."""
    parser = argparse.ArgumentParser(
        "python -m ella.train", description=__doc__, argument_default=argparse.SUPPRESS
    )
    parser.add_argument(
        "--config", type=Path, help=f"TOML file of settings, or one of {', '.join(recipes())}"
    )
    for name, about in WORDS.items():
        several: dict[str, Any] = {"action": "append"} if name == "data" else {}
        parser.add_argument(_flag(name), help=about, **several)
    for name, about in NUMBERS.items():
        parser.add_argument(_flag(name), type=int, help=about)
    for name, (about, words) in CHOICES.items():
        parser.add_argument(_flag(name), choices=words, help=about)
    for name, kind in CONFIG.items():
        choices = get_args(kind) or None
        how: dict[str, Any] = {"type": kind}
        if kind is bool:
            how = {"action": argparse.BooleanOptionalAction}
        elif choices:
            how = {"choices": choices}
        parser.add_argument(_flag(name), help=TrainConfig.about(name), **how)
    return parser


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _fail(message: str, code: int) -> int:
    print(f"error: {message}", file=sys.stderr)
    return code


def _settings(flags: dict[str, Any]) -> dict[str, Any]:
    """The file's settings under the flags'."""
    path = flags.pop("config", None)
    settings: dict[str, Any] = _read_toml(recipe_file(path)) if path else {}
    settings |= flags
    missing = [_flag(name) for name in REQUIRED if name not in settings]
    if missing:
        raise CommandError(f"{', '.join(missing)}: missing; give it as a flag or in --config")
    for name in ("base", "text_encoder"):
        if not Path(settings[name]).is_dir():
            raise CommandError(f"{_flag(name)} {settings[name]}: no such folder")
    return settings


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CommandError(f"{path}: is not TOML ({error})") from error
    names = [*WORDS, *NUMBERS, *CHOICES, *CONFIG]
    for name, value in settings.items():
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"; did you mean {near[0]}" if near else ""
            raise CommandError(f"{path}: no setting is called {name!r}{hint}")
        words = name in WORDS or name in CHOICES
        wanted = str if words else int if name in NUMBERS else type(value)
        if name == "data" and isinstance(value, list) and all(type(one) is str for one in value):
            continue
        if type(value) is not wanted:
            raise CommandError(f"{path}: {name} must be of type {wanted.__name__}, got {value!r}")
        if name in CHOICES and value not in CHOICES[name][1]:
            choices = ", ".join(CHOICES[name][1])
            raise CommandError(f"{path}: {name} must be one of {choices}, got {value!r}")
    return settings


def _train(settings: dict[str, Any]) -> Path:
    """Load what the settings name, and train."""
    try:
        config = TrainConfig(**{name: settings[name] for name in CONFIG.keys() & settings.keys()})
        sizes = {
            name.removeprefix("connector_"): settings[name]
            for name in NEW_CONNECTOR
            if name in settings
        }
        with _nothing_left(Path(settings["out"])):
            trainer = _trainer(settings, config, sizes)
            trainer.prepare(_cache_folder(settings))
    except EllaError:
        raise
    except ValueError as error:
        raise CommandError(str(error)) from error
    return trainer.run()


def _cache_folder(settings: dict[str, Any]) -> Path:
    return Path(settings.get("cache_folder", Path(settings["out"]) / "cache"))


def _pairs(settings: dict[str, Any], name: str = "data") -> IndexedPairs:
    """The data that the settings name, indexed.

    Raises:
        CommandError: If a folder is not there.
        TrainingDataError: If there is nothing in it that can be used.
    """
    from ella.data.pairs import DataSource, IndexedPairs

    words = settings[name]
    sources = [DataSource.parse(word) for word in ([words] if isinstance(words, str) else words)]
    if not sources:
        raise CommandError(f"{_flag(name)}: names no data")
    for source in sources:
        if not source.data.exists():
            raise CommandError(f"{_flag(name)} {source.data}: no such folder")
    return IndexedPairs.open(sources, _cache_folder(settings))


@contextmanager
def _nothing_left(folder: Path, quick_seconds: float = 60.0) -> Iterator[None]:
    """Where the block fails soon, leave no folder that was not there before.

    What took longer is an index of much data, whole or in part: the next start goes on with it.
    """
    there, begun = folder.exists(), time.monotonic()
    try:
        yield
    except Exception:
        if not there and time.monotonic() - begun < quick_seconds:
            shutil.rmtree(folder, ignore_errors=True)
        raise


def _trainer(settings: dict[str, Any], config: TrainConfig, sizes: dict[str, Any]) -> Trainer:
    """Everything loaded and checked against each other; nothing written yet."""
    from ella.connector_base import Connector
    from ella.training.base_model import load_base, load_text_encoder
    from ella.training.run import build_trainer

    if "init" in settings and sizes:
        raise CommandError("--init: the file has the connector's sizes; leave out --connector-...")
    pairs = _pairs(settings)
    base = load_base(Path(settings["base"]))
    encoder = load_text_encoder(
        Path(settings["text_encoder"]),
        config.device,
        settings.get("text_tokens", TRAINED_LENGTH),
        hidden_layer=settings.get("text_layer"),
        dtype=settings.get("text_dtype", "auto"),
    )
    connector = None
    if "init" in settings:
        connector = Connector.from_safetensors(settings["init"])
    return build_trainer(
        base,
        encoder,
        pairs,
        settings["out"],
        config,
        connector=connector,
        sizes=sizes,
        looks=_looks(settings, config),
    )


def _looks(settings: dict[str, Any], config: TrainConfig) -> Looks:
    """What is looked at.

    Raises:
        CommandError: If looks are asked for, and nothing to look at is named.
    """
    from ella.training.drawn_looks import BenchmarkLook
    from ella.training.looks import Looks

    asked = bool(config.look_every or config.look_at)
    named = [name for name in ("look_data", *LOOKS) if settings.get(name)]
    if asked and not {"look_data", "look_bench"} & {*named}:
        raise CommandError(
            "--look-every: nothing to look at; give --look-data (held-out pairs), --look-bench"
            " (prompts), or both"
        )
    if not asked:
        return Looks()
    draw = None
    if "look_bench" in named:
        draw = BenchmarkLook(
            base=Path(settings["base"]),
            text_encoder=Path(settings["text_encoder"]),
            model=settings.get("look_model", "ella-sd15"),
            bench=settings["look_bench"],
            limit=settings.get("look_limit", 0),
            judge=settings.get("look_judge", ""),
            more=settings.get("look_options", ""),
            device="cpu" if config.device == "cpu" else "",
        )
    pairs = _pairs(settings, "look_data") if "look_data" in named else None
    return Looks(pairs, draw)


if __name__ == "__main__":
    sys.exit(main())
