"""A sound manifest of each kind, and what can be wrong with one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dpgbench.store.run.manifest import Manifest


def made(kind: str = "generated", **fields: Any) -> Manifest:
    """Return a sound manifest of a kind."""
    spec = {"generation": {"width_px": 8, "height_px": 8}, "weights": {"base": "b"}}
    identity = {"generated": spec, "images": {"tile_px": None}, "answers": {"answers_sha256": "x"}}
    values: dict[str, Any] = {
        "kind": kind,
        "model": "m",
        "identity": identity[kind],
        "items": ["a", "b"],
        "benchmark": {"name": "n", "path": "p", "prompts_sha256": "s", "questions_sha256": None},
        "num_images": 4,
        "generation": {"folder": "f"} if kind == "images" else {"weights": {"base": {"p": 1}}},
        "judges": {"j": {"truncated_questions": 0, "weights": {"f": "0"}}},
        "created": "2026-01-01T00:00:00+00:00",
    }
    return Manifest(**{**values, **fields})


def put(*path: Any, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(record: dict[str, Any]) -> None:
        for key in path[:-1]:
            record = record[key]
        record[path[-1]] = value

    return change


def drop(*path: Any) -> Callable[[dict[str, Any]], None]:
    def change(record: dict[str, Any]) -> None:
        for key in path[:-1]:
            record = record[key]
        del record[path[-1]]

    return change


FAULTS: list[tuple[str, Callable[[dict[str, Any]], None], str]] = [
    *(
        ("generated", put(name, value=5), name)
        for name in (
            "model", "identity", "items", "benchmark", "generation", "judges", "notes",
            "commands", "environment", "created", "completed", "file_names",
        )
    ),
    ("generated", put("created", value=None), "created"),
    ("generated", put("model", value=True), "model"),
    ("generated", put("kind", value="drawn"), "kind is 'drawn'"),
    *(("generated", put("num_images", value=n), "num_images is") for n in (0, 11, True, 4.0, "4")),
    *(
        ("generated", put(name, value=["x", 1]), f"{name} holds what is not text")
        for name in ("items", "notes", "commands")
    ),
    ("generated", put("items", value=["../x"]), "item id"),
    *(
        ("generated", put("benchmark", name, value=7), f"benchmark.{name} is 7")
        for name in ("name", "path", "prompts_sha256", "questions_sha256")
    ),
    ("generated", put("benchmark", "name", value=None), "benchmark.name is None"),
    ("generated", put("judges", "j", value=[]), "judges.j is"),
    ("generated", put("judges", "j", "truncated_questions", value="1"), "truncated_questions"),
    ("generated", put("judges", "j", "truncated_questions", value=True), "truncated_questions"),
    ("generated", put("judges", "j", "account", value=[]), "judges.j.account is"),
    ("generated", put("judges", "j", "weights", value=5), "judges.j.weights is 5"),
    ("generated", put("judges", "j", "questions_sha256", value=5), "questions_sha256 is 5"),
    ("generated", put("generation", "weights", "base", value="x"), "generation.weights.base is"),
    ("images", put("generation", "folder", value=5), "generation.folder is 5"),
    ("images", drop("generation", "folder"), "generation.folder is missing"),
]  # fmt: skip
