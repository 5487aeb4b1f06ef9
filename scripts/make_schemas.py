"""Write the JSON schemas of a run's files, `docs/schemas/*.json`, from the types that read them.

python -m scripts.make_schemas [FOLDER]
"""

from __future__ import annotations

import argparse
import inspect
import re
from dataclasses import is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, is_typeddict

from dpgbench.store.files import json_text, write_atomic
from dpgbench.store.run.answers import AnswerLine
from dpgbench.store.run.image_log import ImageLine
from dpgbench.store.run.manifest import REQUIRED_BY_KIND, SCHEMA, Manifest
from dpgbench.store.run.scores import SCHEMA as SCORES_SCHEMA
from dpgbench.store.run.scores import ResultJson
from dpgbench.store.typed_json import Among, Range, fields_of

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "schemas"
_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_NAMES = {str: "string", int: "integer", float: "number", bool: "boolean", NoneType: "null"}
_ATTRIBUTE = re.compile(r"^    (\w+): (.*(?:\n      .*)*)", re.MULTILINE)

Schema = dict[str, object]


def manifest_schema() -> Schema:
    """The schema of `manifest.json`."""
    schema = schema_of(Manifest)
    properties = schema["properties"]
    required = schema["required"]
    assert isinstance(properties, dict)
    assert isinstance(required, list)
    properties["schema"] = {"const": SCHEMA, "description": "of this file"}
    properties["identity_hash"] = {
        "type": "string",
        "description": "twelve digits that stand for `identity`",
    }
    schema["required"] = ["identity_hash", *required, "schema"]
    schema["allOf"] = [
        {
            "if": {"properties": {"kind": {"const": kind}}},
            "then": {"properties": {name: schema_of(needed)}},
        }
        for kind, (name, needed) in REQUIRED_BY_KIND.items()
    ]
    return schema


def scores_schema() -> Schema:
    """The schema of a score file."""
    schema = schema_of(ResultJson)
    properties = schema["properties"]
    assert isinstance(properties, dict)
    properties["schema"] = {**properties["schema"], "const": SCORES_SCHEMA}
    return schema


def schemas() -> dict[str, Schema]:
    """Each schema by its file's name."""
    made = {
        "manifest": manifest_schema(),
        "answer": schema_of(AnswerLine),
        "image": schema_of(ImageLine),
        "scores": scores_schema(),
    }
    return {f"{name}.schema.json": {"$schema": _DRAFT, **schema} for name, schema in made.items()}


def schema_of(kind: Any) -> Schema:
    """The JSON schema of a type as `store.typed_json` understands it."""
    origin = get_origin(kind)
    if origin is Annotated:
        return schema_of(get_args(kind)[0]) | _limits(get_args(kind)[1:])
    if origin in (Union, UnionType):
        return _either([schema_of(part) for part in get_args(kind)])
    if origin is Literal:
        return {"enum": list(get_args(kind))}
    if origin is list:
        return {"type": "array", "items": schema_of(get_args(kind)[0])}
    if origin is dict:
        return {"type": "object", "additionalProperties": schema_of(get_args(kind)[1])}
    if is_typeddict(kind) or is_dataclass(kind):
        return _record(kind)
    return {} if kind is Any else {"type": _NAMES[kind]}


def _limits(notes: tuple[object, ...]) -> Schema:
    limits: Schema = {}
    for note in notes:
        if isinstance(note, Range):
            ends = {"minimum": note.least, "maximum": note.most}
            limits |= {name: end for name, end in ends.items() if end is not None}
        elif isinstance(note, Among):
            limits["enum"] = list(note.choices)
    return limits


def _either(parts: list[Schema]) -> Schema:
    if all(part.keys() == {"type"} for part in parts):
        return {"type": [part["type"] for part in parts]}
    return {"anyOf": parts}


def _record(kind: Any) -> Schema:
    about = inspect.getdoc(kind) or ""
    notes = {name: " ".join(text.split()) for name, text in _ATTRIBUTE.findall(about)}
    properties = {
        field.name: schema_of(field.kind)
        | ({"description": notes[field.name]} if field.name in notes else {})
        for field in fields_of(kind)
    }
    schema: Schema = {
        "description": about.partition("\n\n")[0],
        "type": "object",
        "properties": properties,
        "required": [field.name for field in fields_of(kind) if field.required],
    }
    if is_dataclass(kind):
        schema["additionalProperties"] = False
    return schema


def main() -> None:
    """Write all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER)
    folder = parser.parse_args().folder
    for name, schema in schemas().items():
        write_atomic(folder / name, json_text(schema))


if __name__ == "__main__":
    main()
