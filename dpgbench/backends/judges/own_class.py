"""A user's own class as a judge, whatever of a judge it has.

It needs ``describe()`` and either ``ask(tiles)`` with ``num_images_at_once``, or ``stream(tiles)``.
It may have the other methods of `Judge`; where it lacks one, `Judge`'s own stands in. It need not
be a subclass of `Judge`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dpgbench.backends.judges.answer_checks import JudgeContractError, shown
from dpgbench.backends.protocols import Judge, JudgeRequest
from dpgbench.errors import DpgBenchError, reason_of

_METHODS = ("account", "ask", "describe", "origin", "prepare", "stream")


class OwnJudge(Judge):
    """A judge whose methods are those that an object of another class has."""

    def __init__(self, own: Any) -> None:
        self.own = own
        methods = {name: getattr(own, name, None) for name in _METHODS}
        vars(self).update({name: method for name, method in methods.items() if callable(method)})
        self.num_images_at_once = getattr(own, "num_images_at_once", 1)
        self.reads_plain_rgb = getattr(own, "reads_plain_rgb", False) is True

    def __getattr__(self, name: str) -> Any:
        """Return what only the object has; it is what a notebook asked for."""
        if name == "own":  # while it is built or copied
            raise AttributeError(name)
        return getattr(self.own, name)

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; the object hears of `has_answers` where it has such an attribute."""
        super().__setattr__(name, value)
        if name == "has_answers" and hasattr(self.own, name):
            self.own.has_answers = value

    @property
    def class_name(self) -> str:
        """The object's class."""
        return f"{type(self.own).__module__}:{type(self.own).__qualname__}"

    def describe(self) -> Mapping[str, Any]:
        """Return what the object's own `describe` returns, which takes this one's place."""
        raise NotImplementedError


def as_judge(judge: Any) -> Judge:
    """Return an object as a judge: itself where it is one."""
    return judge if isinstance(judge, Judge) else OwnJudge(judge)


def own_judge(target: str, cls: Any, request: JudgeRequest) -> Judge:
    """Return a judge of the user's own class, made sure that it has what is called.

    Raises:
        JudgeContractError: the class fails when it is built, or lacks a method.
    """
    try:
        judge = cls(request)
    except DpgBenchError:
        raise
    except Exception as error:  # whatever the user's own class does
        raise JudgeContractError(
            f"judge {target} cannot be built: {reason_of(error, with_type=True)}; it is built "
            "with one argument, a JudgeRequest"
        ) from error
    has = [name for name in ("describe", "ask", "stream") if callable(getattr(judge, name, None))]
    if "describe" not in has or len(has) < 2:
        raise JudgeContractError(
            f"judge {target} needs the methods describe() and ask(tiles) or stream(tiles); it has "
            f"{' and '.join(has) or 'none of them'}; see docs/judges.md"
        )
    at_once = getattr(judge, "num_images_at_once", None)
    if "stream" not in has and (type(at_once) is not int or at_once < 1):
        raise JudgeContractError(
            f"judge {target}: num_images_at_once must be a whole number from 1, not "
            f"{shown(at_once)}; see docs/judges.md"
        )
    return as_judge(judge)
