"""Training a recipe: seeded, logged for TensorBoard, checkpointed after every epoch, and resumable.

A run that goes through all its epochs is a function of its recipe: weights start from the seed, and whatever epoch
``e`` draws by chance comes from a generator seeded with ``(seed, e)``. A run that was stopped and resumed therefore
ends with exactly the weights of one that was not, for it goes on after the last checkpoint, which is
that of an epoch, or of where time was up.

What an epoch is, the courses say: :mod:`graphsim.zoo.images`, :mod:`graphsim.zoo.alu`, :mod:`graphsim.zoo.logic.life`.
The log folder holds::

    run.json            the recipe; a resumed run must match it
    epoch-0007.keras    net and optimizer after epoch 7, written atomically; only the newest is kept; or, stopped in the
                        middle of what comes next, after so many of its steps: epoch-0007-and-000000120.keras
    tensorboard/        the scores of every epoch
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import shlex
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from graphsim import files
from graphsim.errors import UsageError
from graphsim.zoo.card import Card, Words
from graphsim.zoo.nets import build, load
from graphsim.zoo.quiet import import_tensorflow
from graphsim.zoo.recipes import (
    RECIPES,
    CheckerboardRecipe,
    GateImageRecipe,
    GateRecipe,
    ImageRecipe,
    LifeRecipe,
    Recipe,
)
from graphsim.zoo.watch import Watch

_CHECKPOINT = re.compile(r"epoch-(\d{4})(?:-and-(\d{9}))?\.keras", re.ASCII)
"""The name of a checkpoint: see :func:`_checkpoint`."""

THREADS = 2
"""Threads per operation in training. Another number splits the sums otherwise and so changes the last bits."""


@dataclass(frozen=True)
class Epoch:
    """How one epoch went, for a progress display: scores by name, as the course has them; counts are whole numbers.

    ``cut`` says after how many of how many steps it was stopped, if it was.
    """

    number: int
    of: int
    scores: Mapping[str, float]
    cut: tuple[int, int] | None = None

    def __str__(self) -> str:
        shown = (
            f"{name.replace('_', ' ')} {value:{',' if isinstance(value, int) else '.4f'}}"
            for name, value in self.scores.items()
        )
        where = f", stopped after step {self.cut[0]:,} of {self.cut[1]:,}" if self.cut else ""
        return f"epoch {self.number:3} of {self.of}{where}: {', '.join(shown)}"


@dataclass(frozen=True)
class TrainResult:
    """The files a run wrote, and the scores of what is in them; ``test_accuracy`` (in 0..1) is always among them.

    ``h5`` is None for nets of layers that only this package has; ``more`` are files that only some courses write, by
    what they are. ``stopped`` says where ``minutes`` stopped it, in words; "" where they did not.
    """

    @property
    def written(self) -> list[Path]:
        """Every file."""
        return [path for path in (self.h5, self.keras, *self.more.values(), self.card) if path is not None]

    recipe: str
    h5: Path | None
    keras: Path
    card: Path
    weights_sha256: str
    scores: Mapping[str, float]
    more: Mapping[str, Path] = field(default_factory=dict)
    stopped: str = ""


class Course(Protocol):
    """How one kind of recipe is trained. Made without TensorFlow, so that what is missing is said at once."""

    epochs: int
    stride: int
    """Epochs that are trained at a time, and between two checkpoints."""
    watch: Watch
    """To be called after every step of a stride, and obeyed: the rest of the stride is then left out."""
    skip: int
    """Steps of the next stride that the model has behind it already: set before ``prepare``, 0 from then on."""

    def prepare(self, tf: Any, keras: Any, model: Any, done: int) -> None:
        """Get ready to train a model that has ``done`` epochs, and ``skip`` steps of the next stride, behind it: none
        for a fresh one, to be compiled.
        """

    def may_break(self, number: int) -> bool:
        """Whether the epochs up to ``number`` can be gone on with in their middle."""

    def epoch(self, number: int) -> Mapping[str, float]:
        """Train the epochs up to ``number``, ``stride`` of them or what is left, and return the last one's scores."""

    def finished(self, scores: Mapping[str, float]) -> bool:
        """Whether an epoch with these scores is the last, ahead of time."""

    def kept(self, model: Any) -> Any:
        """The trained model as it is written: without optimizer, with nothing frozen."""

    def judge(self, model: Any) -> tuple[Mapping[str, float], Words]:
        """The scores of a kept model, ``test_accuracy`` among them, and what its card says."""

    def more(self, target: Path) -> Mapping[str, Path]:
        """Write what belongs to the judged model besides, and return those files by what they are."""


def train(
    recipe: str | Recipe,
    out: Path | str | None = None,
    *,
    seed: int | None = None,
    epochs: int | None = None,
    log_dir: Path | str | None = None,
    resume: bool = False,
    minutes: float | None = None,
    weights: Path | str | None = None,
    export_weights: Path | str | None = None,
    progress: Callable[[Epoch], None] | None = None,
    steps: Callable[[int, int, int], None] | None = None,
) -> TrainResult:
    """Train a recipe and write ``<model>.h5``, ``<model>.keras``, the card ``<model>.md`` and what its course writes
    besides, each atomically.

    TensorFlow's deterministic operations are switched on for the rest of the process, and its threads are fixed to
    :data:`THREADS`. The same versions on the same kind of processor then give the same weights, unless TensorFlow had
    run something with another number of threads before.

    Args:
        recipe: a recipe, or a key of :data:`graphsim.zoo.recipes.RECIPES`.
        out: folder for the three files; ``out/train/<recipe>`` when None, so that shipped models stay as they are.
        seed: 0 to 2^32 - 1, of the last net for nets side by side; the recipe's when None.
        epochs: 1 to 9999; the recipe's when None.
        log_dir: folder for logs and checkpoints; ``log`` in ``out`` when None.
        resume: go on after the newest checkpoint in ``log_dir``, if there is one. Without it, checkpoints of an
            earlier run in that folder are deleted.
        minutes: stop training after the first step that ends later than this, wherever in an epoch that is; the model
            is judged and written as it is then. Resuming goes on from there; in the middle of an epoch of tuning, after
            the last whole epoch.
        weights: ``.h5`` file of weights of the same net to start from, instead of random ones.
        export_weights: where to write the weights alone as well, a ``.weights.h5`` file.
        progress: called after every epoch, when its checkpoint is on disk.
        steps: called after every step with the number of the epoch, how many of its steps are done, and of how many.

    Raises:
        UsageError: no such recipe, seed or epochs out of range, a folder that cannot be written, weights that do not
            fit, or checkpoints of another run.
        DatasetError: the data is missing; the message says how to get it.
        ReferenceUnavailableError: TensorFlow is not installed.
    """
    if isinstance(recipe, str) and recipe not in RECIPES:
        raise UsageError(f"no recipe is called {recipe!r}; choose one of: {', '.join(RECIPES)}")
    plan = RECIPES[recipe] if isinstance(recipe, str) else recipe
    plan = dataclasses.replace(
        plan, seed=plan.seed if seed is None else seed, epochs=plan.epochs if epochs is None else epochs
    )
    greatest = 2**32 - (plan.nets if isinstance(plan, LifeRecipe) else 1)
    if not 0 <= plan.seed <= greatest:
        raise UsageError(f"the seed must be between 0 and {greatest}, not {plan.seed}")
    if not 1 <= plan.epochs <= 9999:
        raise UsageError(f"training takes 1 to 9999 epochs, not {plan.epochs}")
    if minutes is not None and not minutes > 0:
        raise UsageError(f"training takes a positive number of minutes, not {minutes:g}")
    if export_weights is not None and not str(export_weights).endswith(".weights.h5"):
        raise UsageError(f"{export_weights}: Keras wants the name of a file of weights to end in .weights.h5")
    target = Path(out) if out is not None else Path("out", "train", plan.name)
    log = Path(log_dir) if log_dir is not None else target / "log"
    course = _course(plan, log)
    start, course.skip = _prepare_log(log, plan, resume)

    tf, keras = import_tensorflow()
    keras.utils.set_random_seed(plan.seed)
    tf.config.experimental.enable_op_determinism()
    with suppress(RuntimeError):  # the number of threads is settled once TensorFlow has run anything
        tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    if start or course.skip:
        model = _load_checkpoint(keras, plan, _checkpoint(log, start, course.skip))
    else:
        model = build(keras, plan)
        if weights is not None:
            _load_weights(model, Path(weights))
    course.prepare(tf, keras, model, start)
    kept = _checkpoint(log, start, course.skip)

    began, last, cut = time.monotonic(), start, None

    def is_late() -> bool:
        return minutes is not None and time.monotonic() - began > 60 * minutes

    def watch(done: int, of: int) -> bool:
        nonlocal cut
        if steps is not None:
            steps(min(last + course.stride, course.epochs), done, of)
        if done == of or not is_late():
            return False
        cut = done, of
        return True

    course.watch, stopped = watch, ""
    with _summaries(tf, log / "tensorboard") as write_scores:
        while last < course.epochs:
            number = min(last + course.stride, course.epochs)
            scores = course.epoch(number)
            course.skip = 0
            done = Epoch(number, course.epochs, scores, cut)
            write_scores(number, done.scores)
            if cut is not None:
                stopped = _where(last, course, cut)
                if course.may_break(number):
                    _save(model.save, part := _checkpoint(log, last, cut[0]))
                    if part != kept:
                        kept.unlink(missing_ok=True)
                if progress is not None:
                    progress(done)
                break
            _save(model.save, _checkpoint(log, number))
            kept.unlink(missing_ok=True)
            kept, last = _checkpoint(log, number), number
            if progress is not None:
                progress(done)
            if course.finished(done.scores):
                break
            if last < course.epochs and is_late():
                stopped = _where(last, course)
                break
    if export_weights is not None:
        _save(model.save_weights, Path(export_weights))
    return _write(model, plan, course, target, last, stopped, weights)


@contextmanager
def _summaries(tf: Any, folder: Path) -> Iterator[Callable[[int, Mapping[str, float]], None]]:
    """Yields what writes an epoch's scores for TensorBoard.

    Raises:
        UsageError: they cannot be written.
    """

    def refused(error: Exception) -> UsageError:
        reason = str(error).splitlines()[0].rpartition(";")[2].strip()
        return UsageError(f"{folder}: cannot write here ({reason}); choose another place")

    def write(number: int, scores: Mapping[str, float]) -> None:
        try:
            for name, value in scores.items():
                tf.summary.scalar(name, value, step=number)
            writer.flush()
        except tf.errors.OpError as error:
            raise refused(error) from error

    try:
        writer = tf.summary.create_file_writer(str(folder))
    except tf.errors.OpError as error:
        raise refused(error) from error
    with writer.as_default():
        yield write


def _where(last: int, course: Course, cut: tuple[int, int] = (0, 0)) -> str:
    """After what training was stopped: whole epochs, and steps of what comes next."""
    if course.stride > 1:  # every epoch is one step
        return f"{last + cut[0]:,} of {course.epochs:,} epochs"
    part = f" and {cut[0]:,} of {cut[1]:,} steps of the next" if cut[0] else ""
    return f"{last:,} of {course.epochs:,} epochs{part}"


def _course(plan: Recipe, log: Path) -> Course:
    if isinstance(plan, ImageRecipe):
        from graphsim.zoo.images import ImageCourse

        return ImageCourse(plan)
    if isinstance(plan, LifeRecipe):
        from graphsim.zoo.logic.life import LifeCourse

        return LifeCourse(plan, log)
    if isinstance(plan, GateImageRecipe):
        from graphsim.zoo.logic.images import GateImageCourse

        return GateImageCourse(plan, log)
    if isinstance(plan, CheckerboardRecipe):
        from graphsim.zoo.logic.automaton import CheckerboardCourse

        return CheckerboardCourse(plan)
    from graphsim.zoo.alu import AluCourse

    return AluCourse(plan)


def weights_sha256(weights: list[npt.NDArray[np.float32]]) -> str:
    """Digest of the weights alone: little-endian float32 bytes, C order, in Keras's order, layer by layer."""
    digest = hashlib.sha256()
    for array in weights:
        digest.update(np.ascontiguousarray(array, dtype="<f4").tobytes())
    return digest.hexdigest()


def _load_checkpoint(keras: Any, plan: Recipe, path: Path) -> Any:
    try:
        return load(keras, plan, path)
    except Exception as error:  # Keras raises anything at all for files it does not like
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise UsageError(f"{path}: cannot be gone on with; start afresh without resuming: {reason}") from error


def _load_weights(model: Any, path: Path) -> None:
    if not path.is_file():
        raise UsageError(f"{path}: there is no such file; expected weights (.h5)")
    try:
        model.load_weights(path)
    except Exception as error:  # Keras raises anything at all for files it does not like
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise UsageError(f"{path}: these weights do not fit {model.name}: {reason}") from error


def _prepare_log(log: Path, plan: Recipe, resume: bool) -> tuple[int, int]:
    """Make the log folder ready and return how many epochs, and steps of what comes next, are done; (0, 0): afresh."""
    run = json.dumps({"recipe": dataclasses.asdict(plan)}, indent=2) + "\n"
    record = log / "run.json"
    checkpoints = sorted(
        (path for path in log.glob("epoch-*.keras") if _CHECKPOINT.fullmatch(path.name) and path.is_file()),
        key=lambda path: path.stem,
    )
    if resume and checkpoints:
        if not record.is_file() or record.read_text(encoding="utf-8") != run:
            raise UsageError(
                f"{record}: the checkpoints here are of a run with another recipe, seed or number of epochs."
                " Give the same ones, or another log folder, or start afresh without resuming."
            )
        found = _CHECKPOINT.fullmatch(checkpoints[-1].name)
        assert found is not None
        return int(found[1]), int(found[2] or 0)
    for stale in checkpoints:
        stale.unlink()
    files.write_text(record, run)
    return 0, 0


def _checkpoint(log: Path, number: int, steps: int = 0) -> Path:
    """Where a model is kept after so many epochs, and steps of what comes next."""
    return log / (f"epoch-{number:04d}" + (f"-and-{steps:09d}" if steps else "") + ".keras")


def _save(save: Callable[[Path], None], path: Path) -> None:
    """Write a Keras file atomically. Keras goes by the suffix, so it writes elsewhere under that name first."""
    with tempfile.TemporaryDirectory(prefix="graphsim-") as folder:
        draft = Path(folder, path.name)
        save(draft)
        files.write_bytes(path, draft.read_bytes())


def _write(
    model: Any, plan: Recipe, course: Course, target: Path, epochs: int, stopped: str, weights: Path | str | None
) -> TrainResult:
    kept = course.kept(model)
    scores, words = course.judge(kept)
    if weights is not None:
        started = {
            "started from": f"{Path(weights).name}, SHA-256 {hashlib.sha256(Path(weights).read_bytes()).hexdigest()}"
        }
        command = f"{words.command} --weights {shlex.quote(str(weights))}"
        words = dataclasses.replace(words, facts={**words.facts, **started}, command=command)
    keras_file, card = target / f"{plan.model}.keras", target / f"{plan.model}.md"
    h5 = None if isinstance(plan, GateRecipe) else target / f"{plan.model}.h5"
    if h5 is not None:
        _save(kept.save, h5)
    _save(kept.save, keras_file)
    more = course.more(target)
    digest = weights_sha256(kept.get_weights())
    facts = {
        "parameters": str(int(kept.count_params())),
        "epochs": f"{stopped}, stopped by --minutes" if stopped else str(epochs),
        "weights SHA-256": digest,
    }
    result = TrainResult(plan.name, h5, keras_file, card, digest, scores, more, stopped)
    made = Card.of(plan, words, facts, written=tuple(result.written[:-1]), stopped=stopped)
    files.write_text(card, made.markdown())
    return result
