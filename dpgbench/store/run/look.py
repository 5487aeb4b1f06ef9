"""`look.json`: a run that is a look at a model while it learns says after how many steps.

Written by a training (`ella.training.looks`) into the run folder of each of its looks.
"""

from __future__ import annotations

import json
from typing import Annotated, NamedTuple, NotRequired, TypedDict

from dpgbench.errors import DataError
from dpgbench.store.run.directory import RunDir
from dpgbench.store.typed_json import Range, check_json

FILE = "look.json"


class _Record(TypedDict):
    step: Annotated[int, Range(0)]
    samples: NotRequired[Annotated[int, Range(0)]]
    held_out_loss: NotRequired[float | None]


class TrainingStep(NamedTuple):
    """When a run was drawn.

    Attributes:
        training: name of the folder of the training.
        step: optimizer steps done.
        samples: pairs seen; None where not noted.
        held_out_loss: None where not measured.
    """

    training: str
    step: int
    samples: int | None
    held_out_loss: float | None


def read_look(run: RunDir) -> TrainingStep | None:
    """Return when a run was drawn; None of a run that is no look.

    Raises:
        DataError: its file is damaged.
    """
    file = run.path / FILE
    if not file.is_file():
        return None
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        check_json(record, _Record)
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(
            f"{file}: is not what a training writes ({error}); delete it to have the run without "
            "its step"
        ) from error
    training = run.path.resolve().parent.parent.name
    return TrainingStep(
        training, record["step"], record.get("samples"), record.get("held_out_loss")
    )
