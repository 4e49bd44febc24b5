"""How each shipped model is made: the net, the data and every number that training needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from graphsim.datasets.arithmetic import OPERATIONS, Encoding, operation_codes
from graphsim.errors import UsageError


@dataclass(frozen=True)
class ImageRecipe:
    """A classifier of one dataset's images and how it is trained.

    The net is ``pixels`` (the images, 0..1), per entry of ``convolutions`` a convolution without padding (ReLU) and a
    max pooling of 2x2, then ``flatten`` and one dense layer per width: ReLU on the hidden ones, softmax on the last.
    Layers are named ``dense``, ``dense_1`` and so on, as Keras would name them.

    Training is Adam on the cross-entropy, with a learning rate that falls from ``learning_rate`` to 0 along half a
    cosine. The last ``validation`` training samples are held out, never trained on; every number here was chosen by
    the accuracy on them, and the test split was looked at once, afterwards.

    Attributes:
        name: of the recipe.
        dataset: what it is trained on.
        model: stem of the files that training writes.
        convolutions: filters and kernel size of each convolution.
        widths: units of each dense layer.
        epochs: default number of passes over the training samples.
        batch: samples per step.
        learning_rate: of the first step.
        validation: how many training samples are held out.
        shift: each training image is moved by up to so many pixels along each axis, anew in every epoch; the border
            is filled with 0.
        seed: default seed of weights, order and shifts.
    """

    name: str
    dataset: str
    model: str
    widths: tuple[int, ...]
    epochs: int
    batch: int
    learning_rate: float
    validation: int
    shift: int
    seed: int
    convolutions: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class AluRecipe:
    """A net that calculates, and how it is trained; see :mod:`graphsim.datasets.arithmetic` for its inputs and outputs.

    The first ``epochs`` epochs are ``steps`` steps each of Adam on the binary cross-entropy, over fresh random
    calculations, with a learning rate that falls from ``learning_rate`` to 0 along half a cosine. Up to
    ``tuning_epochs`` epochs follow in which batch normalisation is frozen: each looks for the ``hardest`` calculations,
    those with the smallest margins, among ``candidates`` fresh ones or in the whole domain, and trains ``tuning_steps``
    steps on batches of which three quarters are drawn from the hardest and one quarter from all candidates. The
    learning rate is then ``tuning_rate`` for ``tuning_flat`` epochs, and falls to 0 along half a cosine after that.
    A margin is the smallest distance of an output's logit from 0, counted negative where the bit is wrong. Tuning ends
    early when the whole domain has margins of at least ``margin``.

    Attributes:
        name: of the recipe.
        model: stem of the files that training writes.
        bits: of the operands.
        variant: of the net, a key of :data:`graphsim.zoo.nets.ALU`.
        units, depth: its width, and its number of blocks.
        shares: how often each of the operations is drawn, relative to the others; 0 leaves it out.
        near: share of the comparisons whose operands are made to differ in one bit or in none.
        candidates: calculations looked at per epoch of tuning; 0 for the whole domain.
        seed: default seed of weights and calculations.
    """

    name: str
    model: str
    bits: int
    variant: str
    units: int
    depth: int
    shares: tuple[float, ...]
    epochs: int
    steps: int
    batch: int
    learning_rate: float
    tuning_epochs: int
    tuning_steps: int
    tuning_rate: float
    tuning_flat: int
    candidates: int
    hardest: int
    margin: float
    near: float
    seed: int

    @property
    def valid_ops(self) -> tuple[str, ...]:
        """The operations that the net learns."""
        return tuple(name for name, share in zip(OPERATIONS, self.shares, strict=True) if share > 0)


@dataclass(frozen=True)
class LifeRecipe:
    """Nets of differentiable gates that learn the rule of Conway's Game of Life, several side by side.

    Every epoch is one step of AdamW over all 512 neighbourhoods of 3x3 cells at once; the loss is the sum of squared
    errors. Net number k has wiring seed ``seed + k``.

    Attributes:
        name: of the recipe.
        model: stem of the files that training writes.
        widths: gates of each layer.
        nets: how many are trained side by side; some find the rule and some do not.
        epochs: default number of steps.
        stride: epochs between two checkpoints.
        clip: no component of a gradient is larger in magnitude.
        seed: default seed of the first net.
    """

    name: str
    model: str
    widths: tuple[int, ...]
    nets: int
    epochs: int
    stride: int
    learning_rate: float
    betas: tuple[float, float]
    weight_decay: float
    clip: float
    seed: int


@dataclass(frozen=True)
class GateImageRecipe:
    """A classifier of one dataset's images made of differentiable gates (Petersen et al., NeurIPS 2022).

    Pixels become bits, one for each of the ``levels`` that they exceed; layers of gates follow; the outputs of the last
    are dealt to the classes in equal parts, and a class's logit is its number of ones divided by ``temperature``.

    Training is Adam on the cross-entropy, with a learning rate that falls from ``learning_rate`` to 0 along half a
    cosine. The last ``validation`` training samples are held out, never trained on; every number here was chosen by
    the accuracy on them, and the test split was looked at once, afterwards.

    Attributes:
        name: of the recipe.
        dataset: what it is trained on.
        model: stem of the files that training writes.
        levels: of the pixels, in 0..1.
        widths: gates of each layer; the last is a multiple of the number of classes.
        start: logit of the gate that passes A on, at first.
        betas: of Adam.
        shift: each training image is moved by up to so many pixels along each axis, anew in every epoch; the border
            is filled with 0.
        seed: default seed of wiring, order and shifts.
    """

    name: str
    dataset: str
    model: str
    levels: tuple[float, ...]
    widths: tuple[int, ...]
    start: float
    temperature: float
    epochs: int
    batch: int
    learning_rate: float
    betas: tuple[float, float]
    validation: int
    shift: int
    seed: int


@dataclass(frozen=True)
class CheckerboardRecipe:
    """A cellular automaton of differentiable gates that draws a checkerboard; see
    :class:`graphsim.zoo.logic.cells.CellStep`.

    Every epoch is one step of AdamW: the board is run for ``steps`` steps as mixtures of gates, from cells whose
    channels are all 1, and judged after each of the last ``judged`` of them.

    Attributes:
        name: of the recipe.
        model: stem of the files that training writes.
        rows, columns, channels: of the board.
        kernels: nets that perceive a channel of a neighbourhood.
        perceive, update: gates of each layer of those, and of the net that decides.
        epochs: default number of steps.
        stride: epochs between two checkpoints.
        clip: no component of a gradient is larger in magnitude.
        seed: default seed of the wiring.
    """

    name: str
    model: str
    rows: int
    columns: int
    channels: int
    kernels: int
    perceive: tuple[int, ...]
    update: tuple[int, ...]
    steps: int
    judged: int
    epochs: int
    stride: int
    learning_rate: float
    betas: tuple[float, float]
    weight_decay: float
    clip: float
    seed: int


GateRecipe = LifeRecipe | GateImageRecipe | CheckerboardRecipe
Recipe = ImageRecipe | AluRecipe | GateRecipe

VARIANTS: dict[str, tuple[int, int]] = {
    "minimal": (256, 2),
    "medium": (128, 2),
    "large": (64, 4),
    "residual": (384, 4),
    "residual-wide": (512, 2),
    "attention": (128, 4),
}
"""The nets that calculate, with their default width and number of blocks."""

_ALU8 = AluRecipe(
    name="alu8",
    model="alu8",
    bits=8,
    variant="residual",
    units=384,
    depth=4,
    #       +    -    *    /    %    AND  OR   XOR  <    >    =    !=
    shares=(1.0, 1.0, 5.0, 2.0, 2.0, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5),
    epochs=65,
    steps=200,
    batch=2048,
    learning_rate=2e-3,
    tuning_epochs=60,
    tuning_steps=100,
    tuning_rate=4e-4,
    tuning_flat=36,
    candidates=0,
    hardest=32768,
    margin=1.0,
    near=0.25,
    seed=1,
)
_ALU15 = replace(
    _ALU8,
    name="alu15",
    model="alu15",
    bits=15,
    depth=6,
    shares=(1.0, 1.0, 0.0, 3.0, 6.0, 0.3, 0.3, 0.3, 0.6, 0.6, 0.4, 0.4),
    epochs=70,
    tuning_epochs=20,
    tuning_steps=150,
    tuning_flat=0,
    candidates=400_000,
    hardest=100_000,
)

_MNIST_GATES = GateImageRecipe(
    name="mnist-gates",
    dataset="mnist",
    model="mnist_gates",
    levels=(0.5,),
    widths=(4000,) * 5,
    start=4.0,
    temperature=8.0,
    epochs=10,
    batch=128,
    learning_rate=0.05,
    betas=(0.9, 0.99),
    validation=5000,
    shift=0,
    seed=1,
)

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        ImageRecipe(
            name="mnist",
            dataset="mnist",
            model="mnist_mlp",
            widths=(128, 10),
            epochs=40,
            batch=256,
            learning_rate=4e-3,
            validation=5000,
            shift=1,
            seed=1,
        ),
        ImageRecipe(
            name="digits",
            dataset="digits",
            model="digits_mlp",
            widths=(32, 10),
            epochs=100,
            batch=32,
            learning_rate=5e-3,
            validation=237,
            shift=0,
            seed=1,
        ),
        ImageRecipe(
            name="mnist-cnn",
            dataset="mnist",
            model="mnist_cnn",
            convolutions=((8, 5), (16, 5)),
            widths=(10,),
            epochs=20,
            batch=128,
            learning_rate=4e-3,
            validation=5000,
            shift=1,
            seed=1,
        ),
        _ALU8,
        _ALU15,
        LifeRecipe(
            name="life",
            model="life",
            widths=(128,) * 17 + (64, 32, 16, 8, 4, 2, 1),
            nets=6,
            epochs=3000,
            stride=100,
            learning_rate=0.05,
            betas=(0.9, 0.99),
            weight_decay=1e-2,
            clip=100.0,
            seed=0,
        ),
        CheckerboardRecipe(
            name="checkerboard",
            model="checkerboard",
            rows=8,
            columns=8,
            channels=8,
            kernels=8,
            perceive=(8, 4, 2, 1),
            update=(128, 128, 64, 32, 16, 8),
            steps=20,
            judged=10,
            epochs=400,
            stride=20,
            learning_rate=0.05,
            betas=(0.9, 0.99),
            weight_decay=1e-2,
            clip=100.0,
            seed=0,
        ),
        _MNIST_GATES,
        replace(
            _MNIST_GATES,
            name="mnist-gates-full",
            model="mnist_gates_full",
            widths=(8000,) * 6,
            temperature=10.0,
            epochs=30,
            shift=1,
        ),
    )
}
"""Every recipe of a shipped model, by name."""


#: Weights of one block of a net that calculates, in squares of its width.
_PER_BLOCK = {"residual-wide": 4, "large": 3, "attention": 8}
MAX_WEIGHTS = 1 << 28
"""In the blocks of a net to be trained: the published large one has 12 million; training keeps each four times."""
MAX_BLOCKS = 256


def _check_size(variant: str, units: int, depth: int) -> None:
    """Raise UsageError for a net that is too small to be one, or too large to be trained."""
    if variant == "attention" and units < 4:
        raise UsageError(f"--units {units}: the attention net has four heads, and needs at least 4 units")
    if depth > MAX_BLOCKS:
        raise UsageError(f"--depth {depth}: nets of at most {MAX_BLOCKS} blocks are trained")
    weights = max(depth, 1) * _PER_BLOCK.get(variant, 1) * units**2
    if weights > MAX_WEIGHTS:
        raise UsageError(
            f"--units {units} --depth {depth}: the net would have more than {weights:,} weights; up to"
            f" {MAX_WEIGHTS:,} are trained"
        )


def alu_recipe(
    bits: int = 15,
    variant: str = "residual",
    valid_ops: Sequence[str] | None = None,
    *,
    units: int | None = None,
    depth: int | None = None,
    tuning: int | None = None,
) -> AluRecipe:
    """The recipe of a net that calculates: a shipped one, where these are its settings, or one made after it.

    Args:
        bits: of the operands.
        variant: a key of :data:`VARIANTS`.
        valid_ops: operations to learn; None for all, but for those of ``alu15`` above 10 bits.
        units, depth: width and number of blocks; None for those of the variant or of the shipped net.
        tuning: most epochs of tuning; None for those of the shipped net.

    Raises:
        UsageError: no such variant or operation, or a number out of range.
    """
    if variant not in VARIANTS:
        raise UsageError(f"there is no variant {variant!r}; choose one of: {', '.join(VARIANTS)}")
    Encoding(bits)
    base = _ALU8 if bits <= 10 else _ALU15
    shares, width, blocks = base.shares, base.units, base.depth
    if variant != base.variant:
        width, blocks = VARIANTS[variant]
    width, blocks = (width if units is None else units), (blocks if depth is None else depth)
    _check_size(variant, width, blocks)
    if valid_ops is not None:
        chosen = operation_codes(valid_ops)
        shares = tuple((share or 1.0) if code in chosen else 0.0 for code, share in enumerate(shares))
    made = replace(
        base,
        bits=bits,
        variant=variant,
        units=width,
        depth=blocks,
        shares=shares,
        tuning_epochs=base.tuning_epochs if tuning is None else tuning,
    )
    if made == base:
        return base
    name = f"alu{bits}-{variant}"
    return replace(made, name=name, model=name.replace("-", "_"))
