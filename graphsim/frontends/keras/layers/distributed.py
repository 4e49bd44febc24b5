"""TimeDistributed: a layer, or a model, for every index of the first axis; and SpectralNormalization, once.

A layer that works along the last axis alone takes all steps at once, unless they come one after the other anyhow; other
layers become actors that fire once for each step, but for recurrent ones, whose sequences are rows of actors side by
side. Models in it are lowered by :mod:`graphsim.frontends.keras.lower`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from graphsim.frontends.blocks.recurrent import for_every_step
from graphsim.frontends.builder import Builder, RefusedError, Tensor
from graphsim.frontends.keras.fields import Fields, shown
from graphsim.frontends.keras.layers.registry import Calling, Given, calling, calls
from graphsim.frontends.keras.semantics import Semantics

#: Classes that do the same to every row of the last axis, whatever rows there are.
_BY_ROW = ("Activation", "Dense", "Dropout", "ELU", "LeakyReLU", "ReLU", "TimeDistributedDense")


@calls("TimeDistributed", steps=True)
def time_distributed(fields: Fields, semantics: Semantics) -> Calling:
    """The same layer, with the same weights, for every step."""
    described = fields.child("layer")
    class_name = described.text("class_name")
    inner = calling(class_name, described.child("config"), semantics)

    def build(to: Builder, given: Given) -> Tensor:
        x = only_tensor(given)
        if len(x.shape) < 2:
            raise to.error(f"repeats a layer along its first axis; its input has shape {x.shape}")

        def one(x: Tensor) -> Tensor:
            made = inner(to, Given((x,), {}))
            found = [made] if isinstance(made, Tensor) else made
            if len(found) != 1:
                raise RefusedError(f"its {class_name} layer has {len(found)} outputs; one is lowered there")
            return found[0]

        since = len(to.groups)
        with to.within(holder="layer"):
            if class_name not in _BY_ROW or x.steps:
                return for_every_step(to, x, one)
            with to.within(shows=False):
                y = one(x)
        return replace(to.observe(y, since), mask=x.mask)

    return build


def only_tensor(given: Given) -> Tensor:
    """What a layer is called on, where that is one tensor and nothing else but a mask, which stays with it."""
    x: Any = given.args[0] if given.args else None
    x = x[0] if isinstance(x, list) and len(x) == 1 else x
    kwargs = {key: value for key, value in given.kwargs.items() if key != "mask"}
    extra = [*map(shown, given.args[1:]), *map(shown, kwargs)]
    if not isinstance(x, Tensor) or extra:
        raise RefusedError(f"it is called with {', '.join(extra) or shown(x)}, which is not lowered")
    return replace(x, mask=given.kwargs["mask"]) if "mask" in given.kwargs else x


@calls("SpectralNormalization")
def spectral_normalization(fields: Fields, semantics: Semantics) -> Calling:
    """The layer in it: what training divides its kernel by is in the kernel that the file holds."""
    described = fields.child("layer")
    class_name = described.text("class_name")
    inner = calling(class_name, described.child("config"), semantics)

    def build(to: Builder, given: Given) -> Tensor | Sequence[Tensor]:
        x = replace(only_tensor(given), mask=None)
        with to.within(holder="layer"):
            y = inner(to, Given((x,), {}))
        kernel = next((w for w in to.weights.get(to.layer, ()) if w.name in ("kernel", "embeddings")), None)
        if kernel is None:
            raise RefusedError(f"its {class_name} layer has no kernel to be normalised")
        to.weight("vector_u", [1, kernel.shape[-1]], trainable=False)
        return y

    return build
