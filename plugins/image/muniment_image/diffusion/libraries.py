"""The libraries of the extra `diffusers`, and their output."""

from __future__ import annotations

import contextlib
import importlib.util
import warnings
from collections.abc import Iterator

import muniment

_LIBRARIES = ("diffusers", "transformers", "accelerate", "peft")


def check_libraries(model: str) -> None:
    """Raise ModelError for the model, with the command to run, if the extra is not installed."""
    missing = [name for name in _LIBRARIES if importlib.util.find_spec(name) is None]
    if missing:
        raise muniment.ModelError(
            model,
            f"the generator diffusers needs the package {missing[0]}, which is not installed; "
            'install it with: pip install "muniment-image[diffusers]"',
        )


def first_line(error: Exception) -> str:
    """Return the class of a library's exception and the first line of its message, shortened."""
    line = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {line[:400]}"


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Suppress warnings, logs and progress bars of the libraries in the context.

    Faults of a model are not lost, because they are read from reports and results instead.
    """
    import diffusers
    import transformers

    loggers = (diffusers.utils.logging, transformers.utils.logging)
    levels = [logger.get_verbosity() for logger in loggers]
    for logger in loggers:
        logger.set_verbosity(50)  # logging.CRITICAL
        logger.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.set_verbosity(level)
            logger.enable_progress_bar()
