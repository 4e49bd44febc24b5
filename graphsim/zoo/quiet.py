"""TensorFlow without its start-up chatter."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from graphsim.errors import ReferenceUnavailableError


def import_tensorflow() -> tuple[Any, Any]:
    """Import TensorFlow and Keras and return both modules; takes seconds the first time.

    What TensorFlow's native code prints while loading goes to file descriptor 2 whatever its log level, so that
    descriptor is closed off for the duration of the import.

    Raises:
        ReferenceUnavailableError: TensorFlow is not installed.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    try:
        with _without_stderr():
            import keras
            import tensorflow
    except ImportError as error:
        raise ReferenceUnavailableError(
            f"training needs TensorFlow, which cannot be imported here ({error}). Install graphsim[tensorflow]."
        ) from error
    logging.getLogger("absl").setLevel(logging.ERROR)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    return tensorflow, keras


@contextmanager
def _without_stderr() -> Iterator[None]:
    try:
        kept = os.dup(2)
    except OSError:
        yield
        return
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(null)
