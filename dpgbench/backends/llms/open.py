"""The one way from the name of a language model to the model."""

from __future__ import annotations

from dpgbench.backends.entries import argument_of
from dpgbench.backends.llms.chat import LanguageModel
from dpgbench.backends.llms.options import LlmOptions
from dpgbench.errors import UsageError

FORMS = {
    "openai:MODEL": "a model behind an OpenAI-compatible server (--base-url)",
    "hf:REPO": "a language model of transformers in this process; also hf:FOLDER",
    "shapes": "no model: a parser that reads captions of the benchmark shapes, and nothing else",
}
SHAPES = "shapes"


def check_llm(name: str) -> None:
    """Raise where a name has none of the forms.

    Raises:
        UsageError: it says which there are.
    """
    family, colon, _ = name.partition(":")
    if name == SHAPES or (family in ("openai", "hf") and colon and argument_of(name)):
        return
    forms = "; ".join(f"{form}: {what}" for form, what in FORMS.items())
    raise UsageError(f"--llm {name or '(empty)'} is no language model; there are {forms}")


def open_llm(name: str, options: LlmOptions, *, spent: float = 0.0) -> LanguageModel:
    """Return the model of ``openai:MODEL`` or ``hf:REPO``, ready to be asked.

    Args:
        name: as the user writes it.
        options: how it is asked.
        spent: US dollars that earlier commands for the same output have cost.

    Raises:
        UsageError: there is no such kind of model, or an option is not for it.
        SetupError: weights, a package or a key are missing.
    """
    check_llm(name)
    options.check()
    if name.startswith("openai:"):
        from dpgbench.backends.llms.server import ChatServer

        return ChatServer(name, options, spent=spent)
    from dpgbench.backends.llms.local import LocalModel

    return LocalModel(name, options)
