"""graphsim: trained networks as dataflow graphs of one actor per neuron, folded onto simulated hardware.

In Python, ``import graphsim as gs`` and see :mod:`graphsim.api`: ``gs.lower``, ``gs.fold``, ``gs.run`` and the rest.
"""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from graphsim.api import (
        analyze,
        compare_model,
        dataset,
        equal,
        fold,
        fold_to,
        life_of,
        load,
        load_machine,
        lower,
        run,
        save,
        verify,
    )

try:
    __version__ = version("graphsim")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"

__all__ = [
    "__version__",
    "analyze",
    "compare_model",
    "dataset",
    "equal",
    "fold",
    "fold_to",
    "life_of",
    "load",
    "load_machine",
    "lower",
    "run",
    "save",
    "verify",
]


def __getattr__(name: str) -> Any:
    """The functions of :mod:`graphsim.api`, which is imported when one of them is asked for."""
    if name not in __all__:
        raise AttributeError(f"module 'graphsim' has no attribute {name!r}")
    from graphsim import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _show_in_notebooks() -> None:
    """Where a notebook runs, let graphs, schedules and runs show themselves."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if shell is not None:
        from graphsim.report.notebook import register

        register(shell)


_show_in_notebooks()
