"""Trained models that ship, and the recipes that trained them.

``shipped("mnist")`` is the path of a model file; :mod:`graphsim.zoo.recipes` says how each was made and
:mod:`graphsim.zoo.train` makes it again. Nothing here imports TensorFlow until training starts.
"""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

from graphsim.errors import ModelError, UsageError
from graphsim.zoo.recipes import RECIPES, AluRecipe

SUFFIXES: tuple[str, ...] = (".h5", ".keras")
"""File formats in which every shipped model is kept: legacy full-model HDF5, and Keras 3's zip."""


def models_folder() -> Path:
    """Folder of the shipped models: ``models`` of the checkout, or ``share/graphsim/models`` of an installed wheel.

    Raises:
        ModelError: this installation has no such folder.
    """
    root = Path(__file__).resolve().parents[2]
    beside = [root / "models", root / "share" / "graphsim" / "models"]
    try:
        listed = importlib.metadata.files("graphsim") or []
    except importlib.metadata.PackageNotFoundError:
        listed = []
    installed = [
        Path(str(file.locate())).resolve().parent
        for file in listed
        if file.parts[-3:-1] == ("graphsim", "models") and file.suffix in SUFFIXES
    ]
    for folder in beside + installed:
        if folder.is_dir():
            return folder
    raise ModelError(
        f"this installation of graphsim has no models: neither {beside[0]} nor a file of the installed package."
        " Run it from a checkout, or train one with `graphsim train`."
    )


def shipped(name: str, suffix: str = ".h5") -> Path:
    """Path of the shipped model of a dataset.

    Args:
        name: a recipe, which is also the name of its dataset (``mnist``), or the model's name (``mnist_mlp``).
        suffix: ``.h5`` or ``.keras``; both hold the same weights.

    Raises:
        UsageError: no model of that name, or not such a suffix.
        ModelError: the file is not part of this installation.
    """
    models = {recipe.name: recipe.model for recipe in RECIPES.values()}
    model = models.get(name, name)
    if model not in models.values():
        raise UsageError(f"no shipped model is called {name!r}; choose one of: {', '.join(models)}")
    if suffix not in SUFFIXES:
        raise UsageError(f"shipped models are {' and '.join(SUFFIXES)} files, not {suffix!r}")
    path = models_folder() / f"{model}{suffix}"
    if not path.is_file():
        raise ModelError(f"{path}: not there. Restore it from the repository, or run `graphsim train {name}`.")
    return path


def shipped_alu(bits: int) -> tuple[Path, tuple[str, ...]]:
    """Path of the shipped net that calculates with so many bits, and the operations it has learnt.

    Raises:
        UsageError: there is none of so many bits.
        ModelError: the file is not part of this installation.
    """
    for recipe in alu_recipes():
        if recipe.bits == bits:
            return shipped(recipe.name), recipe.valid_ops
    lengths = " and ".join(str(recipe.bits) for recipe in alu_recipes())
    raise UsageError(f"the shipped nets calculate with {lengths} bits, not {bits}; name a model, or train one")


def alu_recipes() -> list[AluRecipe]:
    """The recipes of the shipped nets that calculate, fewest bits first."""
    return sorted((r for r in RECIPES.values() if isinstance(r, AluRecipe)), key=lambda recipe: recipe.bits)


def shipped_arithmetic(operation: str) -> Path:
    """Path of the shipped arithmetic module that has learnt an operation: ``arithmetic/nmru_div.h5`` and its kind.

    Raises:
        ModelError: this installation does not have it.
    """
    module = {"add": "nau", "sub": "nau", "mul": "nmu", "div": "nmru"}[operation]
    path = models_folder() / "arithmetic" / f"{module}_{operation}.h5"
    if not path.is_file():
        raise ModelError(f"{path}: is not part of this installation; train it with `graphsim train arithmetic`")
    return path
