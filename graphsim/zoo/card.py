"""The card of a trained model: a Markdown page with everything needed to judge the model and to make it again."""

from __future__ import annotations

import hashlib
import importlib.metadata
import math
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import graphsim
from graphsim.datasets import Dataset
from graphsim.errors import ModelError
from graphsim.zoo.recipes import Recipe

_PACKAGES = ("tensorflow", "keras", "numpy", "h5py", "scikit-learn")
_FACT = re.compile(r"^\| ([^|]+?) \| ([^|]*?) \|$", re.MULTILINE)


@dataclass(frozen=True)
class Card:
    """What a card says: ``title`` and ``facts``, name to text, in the order shown.

    Facts about files are named by the file and hold its SHA-256 in hexadecimal.
    """

    title: str
    about: str
    facts: Mapping[str, str]
    files: Mapping[str, str]
    data: Mapping[str, str]
    command: str

    @classmethod
    def of(
        cls,
        recipe: Recipe,
        *,
        samples: Dataset,
        test: Dataset,
        seed: int,
        epochs: int,
        parameters: int,
        held_out_accuracy: float,
        test_correct: int,
        weights_sha256: str,
        written: tuple[Path, ...],
    ) -> Card:
        """Fill in a card. ``written`` are the model files, which are read for their digests."""
        inputs = math.prod(samples.shape)
        net = "-".join(str(width) for width in (inputs, *recipe.widths))
        shift = f"each image moved by up to {recipe.shift} pixel(s) along each axis, anew per epoch"
        versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _PACKAGES)
        trained = len(samples) - recipe.validation
        return cls(
            title=recipe.model,
            about=(
                f"A {net} multilayer perceptron for {recipe.name}: images of {samples.shape[0]}x{samples.shape[1]},"
                f" each pixel divided by {samples.scale} as float32, then flattened; ReLU on the hidden layer, softmax"
                f" over the {len(samples.classes)} classes.\nEvery number of the recipe was chosen by the accuracy on"
                " the held-out training samples, never by the test accuracy."
            ),
            facts={
                "recipe": recipe.name,
                "test accuracy": f"{test_correct / len(test):.4f} ({test_correct} of {len(test)})",
                "held-out accuracy": f"{held_out_accuracy:.4f} ({recipe.validation} samples)",
                "parameters": str(parameters),
                "samples": f"{trained} to train, {recipe.validation} held out, {len(test)} to test",
                "augmentation": shift if recipe.shift else "none",
                "optimizer": (
                    f"Adam, learning rate {recipe.learning_rate:g} falling to 0 along half a cosine,"
                    f" batch {recipe.batch}"
                ),
                "loss": "cross-entropy",
                "epochs": str(epochs),
                "seed": str(seed),
                "weights SHA-256": weights_sha256,
                "versions": f"graphsim {graphsim.__version__}, {versions}, Python {platform.python_version()}",
                "machine": f"{platform.machine()}, {platform.system()}",
            },
            files={path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in written},
            data={**samples.sha256, **test.sha256},
            command=f"python scripts/train.py {recipe.name} --seed {seed} --epochs {epochs}",
        )

    def markdown(self) -> str:
        """The page as Markdown, ending in a newline."""
        return "\n".join(
            [
                f"# {self.title}",
                "",
                self.about,
                "",
                "| what | value |",
                "|---|---|",
                *(f"| {name} | {value} |" for name, value in self.facts.items()),
                "",
                "| model file | SHA-256 |",
                "|---|---|",
                *(f"| {name} | {digest} |" for name, digest in self.files.items()),
                "",
                "| data file | SHA-256 |",
                "|---|---|",
                *(f"| {name} | {digest} |" for name, digest in self.data.items()),
                "",
                "Train it again with",
                "",
                f"    {self.command}",
                "",
                "The weights' digest is taken over their float32 bytes, kernel then bias, layer by layer. The same",
                "versions on the same kind of processor give the same weights and the same `.h5`; the `.keras` file",
                "also holds the time it was saved. Elsewhere the last bits of the weights may differ.",
                "",
            ]
        )


def read_facts(path: Path) -> dict[str, str]:
    """Every ``| name | value |`` row of a card, files and data included.

    Raises:
        ModelError: the card is missing or not text.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{path}: cannot read this card ({error})") from error
    return {name: value for name, value in _FACT.findall(text) if set(name) != {"-"}}
