"""Loading networks: what a library raises about their files becomes one line."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator

from dpgbench.backends.device import is_out_of_memory
from dpgbench.errors import DpgBenchError, SetupError, reason_of

_LIMIT = 300
_OF_FILES = (OSError, ValueError, RuntimeError, LookupError, TypeError, AttributeError, MemoryError)
_OF_SAFETENSORS = ("safetensors", "safetensors_rust")
_OF_LIBRARIES = (*_OF_SAFETENSORS, "huggingface_hub")  # tokenizers raises `Exception` itself


@contextlib.contextmanager
def loading(subject: str, remedy: str) -> Iterator[None]:
    """Turn what a library raises about a network's files into one line.

    Args:
        subject: what is loaded, such as ``model sd15``.
        remedy: what the user can do about it.

    Raises:
        SetupError: names the subject, the reason and the remedy.
    """
    try:
        yield
    except DpgBenchError:
        raise
    except ImportError as error:
        raise SetupError(
            f"{subject} needs a package that is not installed: {reason_of(error, limit=_LIMIT)}"
        ) from error
    except _OF_FILES as error:
        reason = reason_of(error, limit=_LIMIT)
        if is_out_of_memory(error):
            raise SetupError(
                f"{subject} does not fit into memory ({reason}); take a smaller model, half the "
                "precision (--dtype float16 or bfloat16), or a device with more memory"
            ) from error
        raise SetupError(f"{subject} cannot be loaded: {reason}; {remedy}") from error
    except Exception as error:
        library = type(error).__module__.partition(".")[0]
        if library not in _OF_LIBRARIES and type(error) is not Exception:
            raise
        what = "safetensors file" if library in _OF_SAFETENSORS else "file"
        raise SetupError(
            f"{subject} cannot be loaded: a {what} is cut off or damaged "
            f"({reason_of(error, limit=_LIMIT)}); {remedy}"
        ) from error


@contextlib.contextmanager
def quiet(*libraries: str, logs: bool = True, bars: bool = True) -> Iterator[None]:
    """Keep back what Hugging Face libraries print while they load.

    Args:
        libraries: of ``diffusers`` and ``transformers``.
        logs: let log lines below an error be seen: tables of weights, advice about packages.
        bars: let progress bars be seen; for weights that ship they only flicker.
    """
    with contextlib.ExitStack() as stack:
        for name in libraries:
            library = importlib.import_module(f"{name}.utils.logging")
            if not logs:
                stack.callback(library.set_verbosity, library.get_verbosity())
                library.set_verbosity_error()
            if not bars and library.is_progress_bar_enabled():
                stack.callback(library.enable_progress_bar)
                library.disable_progress_bar()
        yield
