"""The card of a trained model: a Markdown page with everything needed to judge the model and to make it again."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import graphsim
from graphsim.errors import ModelError
from graphsim.zoo.recipes import Recipe

_PACKAGES = ("tensorflow", "keras", "numpy", "h5py", "scikit-learn")
_FACT = re.compile(r"^\| ([^|]+?) \| ([^|]*?) \|$", re.MULTILINE)


@dataclass(frozen=True)
class Words:
    """What a course says of a model that it trained.

    Attributes:
        about: what the model is, a sentence a line.
        facts: how it was trained and how well it does, name to text, in the order shown.
        data: SHA-256, in hexadecimal, of each file of data, by name.
        command: trains it again.
        starts_alike: whether a run of fewer epochs is the beginning of one of more, and ``command`` is for the epochs
            that were done; else the learning rate of every epoch depends on how many there are to be.
    """

    about: str
    facts: Mapping[str, str]
    data: Mapping[str, str]
    command: str
    starts_alike: bool = False


@dataclass(frozen=True)
class Card:
    """What a card says: a title, the course's words, and ``facts``, name to text, in the order shown.

    ``files`` holds the SHA-256 of each model file, in hexadecimal. ``stopped`` says after what the training was stopped
    by the clock; "" where it was not.
    """

    title: str
    words: Words
    facts: Mapping[str, str]
    files: Mapping[str, str]
    stopped: str = ""

    @classmethod
    def of(
        cls, recipe: Recipe, words: Words, facts: Mapping[str, str], *, written: tuple[Path, ...], stopped: str = ""
    ) -> Card:
        """Fill in a card. ``written`` are the model files, which are read for their digests."""
        versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _PACKAGES)
        return cls(
            title=recipe.model,
            words=words,
            facts={
                "recipe": recipe.name,
                **words.facts,
                "seed": str(recipe.seed),
                **facts,
                "versions": f"graphsim {graphsim.__version__}, {versions}, Python {platform.python_version()}",
                "machine": f"{platform.machine()}, {platform.system()}",
            },
            files={path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in written},
            stopped=stopped,
        )

    def markdown(self) -> str:
        """The page as Markdown, ending in a newline."""
        return "\n".join(
            [
                f"# {self.title}",
                "",
                self.words.about,
                "",
                "| what | value |",
                "|---|---|",
                *(f"| {name} | {value} |" for name, value in self.facts.items()),
                "",
                "| model file | SHA-256 |",
                "|---|---|",
                *(f"| {name} | {digest} |" for name, digest in self.files.items()),
                "",
                *self._data(),
                *self._again(),
                "",
            ]
        )

    def _again(self) -> list[str]:
        """How to train it again, and what will be the same."""
        digest = "The weights' digest is taken over their float32 bytes in Keras's order, layer by layer."
        lines = []
        if self.stopped:
            lines = [
                f"Training was stopped by --minutes after {self.stopped};",
                "other runs with --minutes stop elsewhere.",
                "",
            ]
        if self.stopped and not self.words.starts_alike:
            return [
                *lines,
                "No command gives these weights again: how an epoch goes depends on how many there are to be.",
                "All epochs are trained with",
                "",
                f"    {self.words.command}",
                "",
                digest,
            ]
        return [
            *lines,
            "Train it again with",
            "",
            f"    {self.words.command}",
            "",
            f"{digest} The same",
            "versions on the same kind of processor give the same weights and the same files, but for the `.keras`",
            "file, which also holds the time it was saved. Elsewhere the last bits of the weights may differ.",
        ]

    def _data(self) -> list[str]:
        if not self.words.data:
            return []
        rows = (f"| {name} | {digest} |" for name, digest in self.words.data.items())
        return ["| data file | SHA-256 |", "|---|---|", *rows, ""]


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
