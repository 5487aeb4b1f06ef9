"""Bodies to requests: JSON and multipart forms, every field checked before a picture is opened."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import FormParser, parse_options_header

from dpgbench.errors import one_line, shortened
from dpgbench.server.limits import Limits, RefusedRequestError

JSON, MULTIPART = "application/json", "multipart/form-data"
LayoutName = Literal["1x1", "1x2", "2x1", "2x2", "1x4", "4x1"]
_REQUEST_PART = "request"
_FORM_FIELDS = (_REQUEST_PART, "rules", "layout", "read_answers")
_MOST_PARTS = 2000
_HIGHEST_QID = 999_999_999  # as a benchmark file's


class _Strict(BaseModel):
    """Fields of exactly the types that are said; no others."""

    model_config = ConfigDict(extra="forbid", strict=True)


class QuestionBody(_Strict):
    """A question of the caller's own."""

    question: Annotated[str, Field(min_length=1, max_length=2000, description="Its words.")]
    qid: Annotated[
        int | None,
        Field(ge=1, le=_HIGHEST_QID, description="Its number in the item; else its position."),
    ] = None
    parents: Annotated[
        list[int],
        Field(max_length=200, fail_fast=True, description="Numbers of the questions above it."),
    ] = []
    answer: Annotated[
        str,
        Field(max_length=200, description="The right one: no, a number or a word; empty is yes."),
    ] = ""


class ItemBody(_Strict):
    """One item with its pictures: of the server's benchmark, or with questions of the caller."""

    item_id: Annotated[
        str | None,
        Field(min_length=1, max_length=500, description="Of the benchmark, or any name."),
    ] = None
    prompt: Annotated[str | None, Field(max_length=100_000, description="For the record.")] = None
    questions: Annotated[
        list[QuestionBody] | None,
        Field(min_length=1, fail_fast=True, description="Else those of the benchmark are asked."),
    ] = None
    images: Annotated[
        list[str],
        Field(
            min_length=1,
            fail_fast=True,
            description="PNG, JPEG or WebP: in JSON base64, in a form the names of parts.",
        ),
    ]
    layout: Annotated[
        LayoutName | None,
        Field(description="ROWSxCOLUMNS of tiles in each image; else each is one tile."),
    ] = None


class ScoreBody(_Strict):
    """What `POST /v1/score` takes."""

    items: Annotated[list[ItemBody], Field(min_length=1, fail_fast=True)]
    rules: Annotated[
        list[str] | None,
        Field(min_length=1, max_length=20, fail_fast=True, description="Names of scoring rules."),
    ] = None
    read_answers: Annotated[
        bool, Field(description="Read answers as yes or no before a rule sees them.")
    ] = False


class AnswerReply(BaseModel):
    """A raw answer, as a line of a run's `answers/<judge>.jsonl`."""

    item_id: str
    tile: int
    qid: int
    answer: str
    p_yes: float | None = None
    truncated: bool | None = None
    invalid: bool | None = None


class RuleReply(BaseModel):
    """An item's score under one rule, 0 to 100."""

    score: float | None
    tile_scores: list[float]
    failure: str | None


class ItemReply(BaseModel):
    """What became of an item."""

    item_id: str
    failure: str | None
    answers: list[AnswerReply]
    scores: dict[str, RuleReply]


class ScoreReply(BaseModel):
    """What `POST /v1/score` gives; items in the order in which they were sent."""

    judge: str
    items: list[ItemReply]
    failures: dict[str, str]


class ErrorReply(BaseModel):
    """Why there is no score."""

    error: str


@dataclass(frozen=True)
class ReadRequest:
    """A request whose fields are sound; `pictures` are the encoded images of each item."""

    body: ScoreBody
    pictures: Sequence[Sequence[bytes]]


def read_request(content_type: str, data: bytearray, limits: Limits) -> ReadRequest:
    """Return the request that a body holds. It may run in any thread.

    Raises:
        RefusedRequestError: 400, 413, 415 or 422, with the field at fault.
    """
    kind, options = parse_options_header(content_type)
    match kind.decode("latin-1").lower():
        case "application/json":
            body = parse_body(data, limits)
            return ReadRequest(body, _pictures_of_base64(body))
        case "multipart/form-data":
            boundary = options.get(b"boundary")
            if not boundary:
                raise RefusedRequestError(400, "multipart/form-data without a boundary")
            return _read_form(data, boundary, limits)
        case other:
            raise RefusedRequestError(
                415, f"content-type {one_line(other)[:100]!r}: send {JSON} or {MULTIPART}"
            )


def parse_body(text: bytes | bytearray, limits: Limits) -> ScoreBody:
    """Return the fields of a JSON text.

    Raises:
        RefusedRequestError: it is no JSON, or a field is not what it must be.
    """
    if sum(text.count(mark) for mark in b",:[{") > limits.json_values:
        raise RefusedRequestError(413, f"more than {limits.json_values} values in a JSON text")
    try:
        body = ScoreBody.model_validate_json(text)
    except ValidationError as error:
        raise RefusedRequestError(*_fault(error)) from None
    _check_counts(body, limits)
    json.loads(text, object_pairs_hook=_refuse_twice)
    return body


def _refuse_twice(pairs: list[tuple[str, Any]]) -> None:
    """Raise where an object of a JSON text has a name twice, for one would replace the other.

    Raises:
        RefusedRequestError: says which.
    """
    if len({name for name, _ in pairs}) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise RefusedRequestError(422, f"{one_line(twice)[:80]!r} comes twice in one JSON object")


def _check_counts(body: ScoreBody, limits: Limits) -> None:
    """Raise where there is more of something than one request may have.

    Raises:
        RefusedRequestError: it says of what.
    """
    counts = [("items", len(body.items), limits.items)]
    for number, item in enumerate(body.items):
        counts.append((f"items[{number}].images", len(item.images), limits.images))
        counts.append((f"items[{number}].questions", len(item.questions or ()), limits.questions))
    for where, count, limit in counts:
        if count > limit:
            raise RefusedRequestError(413, f"{where}: {count} are more than {limit} at a time")


def _fault(error: ValidationError) -> tuple[int, str]:
    """Return the status and the words for the first fault of a body."""
    faults: Any = error.errors(include_url=False, include_input=False)
    unknown = (fault for fault in faults if fault["type"] == "extra_forbidden")
    first = next(unknown, faults[0])  # a field that is missed was mistyped, mostly
    where = _path(first["loc"])
    match first["type"]:
        case "json_invalid":
            return 400, f"the body is not JSON: {first['ctx']['error']}"
        case "extra_forbidden":
            owner = where.rpartition(".")[0]
            names = ", ".join(_fields_of(owner))
            return 422, f"{where}: there is no such field; known: {names}"
        case _:
            return 422, f"{where or 'the body'}: {first['msg']}"


def _fields_of(owner: str) -> Sequence[str]:
    if "questions[" in owner:
        return list(QuestionBody.model_fields)
    return list(ItemBody.model_fields if owner else ScoreBody.model_fields)


def _path(location: Sequence[str | int]) -> str:
    """Return a place in a body as ``items[0].images[1]``."""
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{one_line(part)[:80]}"
    return path.removeprefix(".")


def _pictures_of_base64(body: ScoreBody) -> list[list[bytes]]:
    return [
        [
            _from_base64(text, f"items[{number}].images[{position}]")
            for position, text in enumerate(item.images)
        ]
        for number, item in enumerate(body.items)
    ]


def _from_base64(text: str, where: str) -> bytes:
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise RefusedRequestError(
            422,
            f"{where} is not base64 of a picture ({error}); paths and addresses are not read",
        ) from None


def _read_form(data: bytearray, boundary: bytes, limits: Limits) -> ReadRequest:
    """Return the request of a form: a part `request` with JSON, or a part for each item."""
    fields, files = _parts(data, boundary)
    for name in fields:
        if name not in _FORM_FIELDS:
            raise RefusedRequestError(
                422,
                f"form field {one_line(name)[:80]!r}: known: {', '.join(_FORM_FIELDS)}; a picture "
                "needs a file name in its part",
            )
    if _REQUEST_PART in fields:
        if beside := [name for name in fields if name != _REQUEST_PART]:
            raise RefusedRequestError(
                422,
                f"form field {beside[0]!r} beside a part 'request': put it into that one's JSON",
            )
        body = parse_body(fields[_REQUEST_PART], limits)
        return ReadRequest(body, _pictures_by_name(body, files))
    body = _body_of_fields(fields, [name for name, _ in files])
    _check_counts(body, limits)
    return ReadRequest(body, [[picture] for _, picture in files])


def _parts(data: bytearray, boundary: bytes) -> tuple[dict[str, bytes], list[tuple[str, bytes]]]:
    """Return the values of a form's fields by name, and its files with theirs, in order.

    Raises:
        RefusedRequestError: it is no form, or has too many parts.
    """
    fields: dict[str, bytes] = {}
    files: list[tuple[str, bytes]] = []

    def on_field(field: Any) -> None:
        name = _name(field.field_name)
        if name in fields:
            raise RefusedRequestError(
                422, f"form field {one_line(name)[:80]!r} comes twice; names of rules take commas"
            )
        fields[name] = bytes(field.value or b"")
        _check_number(len(fields) + len(files))

    def on_file(file: Any) -> None:
        files.append((_name(file.field_name), file.file_object.getvalue()))
        _check_number(len(fields) + len(files))

    try:
        parser = FormParser(
            MULTIPART,
            on_field,
            on_file,
            boundary=boundary,
            config={"MAX_MEMORY_FILE_SIZE": len(data) + 1, "UPLOAD_ERROR_ON_BAD_CTE": True},
        )
        parser.write(bytes(data))
        parser.finalize()
    except (FormParserError, ValueError) as error:
        raise RefusedRequestError(400, f"the body is not a form: {one_line(str(error))}") from None
    if not data.rstrip(b"\r\n \t").endswith(boundary + b"--"):
        raise RefusedRequestError(400, "the form ends before its last boundary; send it again")
    return fields, files


def _check_number(number: int) -> None:
    if number > _MOST_PARTS:
        raise RefusedRequestError(413, f"a form of more than {_MOST_PARTS} parts")


def _name(name: bytes | None) -> str:
    return (name or b"").decode("utf-8", "replace")


def _pictures_by_name(body: ScoreBody, parts: Sequence[tuple[str, bytes]]) -> list[list[bytes]]:
    """Return the pictures that a body names, of the file parts that came with it."""
    files: dict[str, bytes] = {}
    for name, picture in parts:
        if name in files:
            raise RefusedRequestError(
                422, f"two file parts {one_line(name)[:80]!r}: each needs a name of its own"
            )
        files[name] = picture
    pictures: list[list[bytes]] = []
    for number, item in enumerate(body.items):
        for position, name in enumerate(item.images):
            if name not in files:
                names = shortened([one_line(part)[:40] for part in files]) or "none"
                raise RefusedRequestError(
                    422,
                    f"items[{number}].images[{position}]: the form has no file part "
                    f"{one_line(name)[:80]!r}; its file parts: {names}",
                )
        pictures.append([files[name] for name in item.images])
    return pictures


def _body_of_fields(fields: Mapping[str, bytes], names: Sequence[str]) -> ScoreBody:
    """Return the body of a form whose file parts are named after items, one picture each."""
    if not names:
        raise RefusedRequestError(
            422, "the form has no file part: name one after each item, or send a part 'request'"
        )
    texts = {name: value.decode("utf-8", "replace").strip() for name, value in fields.items()}
    layout, rules = texts.get("layout") or None, texts.get("rules") or ""
    if (read := texts.get("read_answers", "false")) not in ("true", "false"):
        raise RefusedRequestError(422, "read_answers: true or false")
    try:
        return ScoreBody.model_validate(
            {
                "items": [{"item_id": name, "images": [name], "layout": layout} for name in names],
                "rules": [rule.strip() for rule in rules.split(",")] if rules else None,
                "read_answers": read == "true",
            }
        )
    except ValidationError as error:
        raise RefusedRequestError(*_fault(error)) from None
