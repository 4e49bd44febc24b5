"""How datasets print themselves: in one line, without their arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from graphsim.datasets import Dataset


class Shown:
    """A dataset whose ``repr`` says what it is and of which shape, not what is in it."""

    def __repr__(self: Dataset) -> str:
        arrays = self.inputs if isinstance(self.inputs, tuple) else (self.inputs,)
        shapes = ", ".join(str(array.shape[1:]) for array in arrays)
        classes = "" if self.labels is None else ", with classes"
        return f"<{self.name}, {self.split}: {len(self):,} samples of shape {shapes}{classes}>"
