"""What can go wrong in training, below `ella.EllaError`.

    EllaError
    └── TrainingError                           training cannot go on
        ├── TrainingDataError (ValueError)      a picture or a list of captions cannot be used
        └── ResumeError (ValueError)            a checkpoint is of other settings, or damaged

Each message is one line: what is wrong, where, and what to do next.
"""

from __future__ import annotations

from ella.errors import EllaError


class TrainingError(EllaError):
    """Training cannot go on; what is on disk stays, and the same command resumes from it."""


class TrainingDataError(TrainingError, ValueError):
    """A picture, or the list of pictures and captions, cannot be used."""


class ResumeError(TrainingError, ValueError):
    """A checkpoint was made with other settings, models or data, or cannot be read."""
