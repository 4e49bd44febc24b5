"""Packages of extras: tests that need one skip without it and say so; with ``CI`` set they fail instead."""

from __future__ import annotations

import importlib
import os
from typing import Any

import pytest


def needed(name: str) -> Any:
    """The module of that name."""
    if os.environ.get("CI"):
        return importlib.import_module(name)
    return pytest.importorskip(name)
