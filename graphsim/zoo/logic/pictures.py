"""Pictures of gates that make up their minds: bars of what they chose, as text and as PNG; the learnt Life as a GIF.

Pillow draws them; it is imported when a picture is made.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from graphsim.errors import ReferenceUnavailableError
from graphsim.zoo.logic.gates import NAMES

Counts = npt.NDArray[np.int64]
Board = npt.NDArray[np.bool_]

#: Parts of the training after which the choices are shown.
_MOMENTS = (0.0, 0.1, 0.2, 0.4, 1.0)
#: One character for each gate, in the order of the gates.
SYMBOLS = "0&>A<B^|~=b)a(-1"
#: One colour for each gate: greys are constants, sand passes on or inverts, blues are ANDs, greens ORs, reds XORs.
COLOURS = (
    "#d9d9d9",
    "#1f5fa8",
    "#4a86c8",
    "#f3ead2",
    "#7fb0e0",
    "#e2d3a6",
    "#c0392b",
    "#1e8449",
    "#14405f",
    "#e67e73",
    "#b89b56",
    "#45a56b",
    "#cdb577",
    "#82c79d",
    "#6c3483",
    "#a6a6a6",
)


def apportioned(counts: Sequence[int], width: int) -> list[int]:
    """Whole parts of a bar of that width, in proportion to the counts, by largest remainders; ties to the first."""
    total = max(1, sum(counts))
    parts = [count * width // total for count in counts]
    order = sorted(range(len(counts)), key=lambda at: (-(counts[at] * width % total), at))
    for at in order[: width - sum(parts) if sum(counts) else 0]:
        parts[at] += 1
    return parts


def bars(counts: Counts, width: int = 64) -> list[str]:
    """What each layer's gates are, as lines of text: a bar for each layer, then what its characters stand for.

    ``counts``: int64 (layers, 16).
    """
    digits = len(str(len(counts)))
    lines = [
        f"layer {number:{digits}} {''.join(s * n for s, n in zip(SYMBOLS, apportioned(row, width), strict=True))}"
        f" {sum(row)}"
        for number, row in enumerate(counts.tolist(), 1)
    ]
    seen = counts.sum(axis=0)
    legend = [f"{symbol} {name}" for symbol, name, many in zip(SYMBOLS, NAMES, seen, strict=True) if many]
    return [*lines, "  ".join(legend)]


def bars_png(history: Sequence[tuple[str, Counts]]) -> bytes:
    """The bars of several moments side by side, a PNG; ``history``: a caption and int64 (layers, 16) for each."""
    image_module, draw_module, font_module = _pillow()
    font = font_module.load_default(14)  # the smallest at which "!" is no "I"
    layers = len(history[0][1])
    wide, high, gap, top, left = 150, 14, 12, 24, 46
    width = left + len(history) * (wide + gap)
    columns = min(len(NAMES) // 2, (width - left) // 66)
    height = top + layers * (high + 3) + 12 + -(-len(NAMES) // columns) * 18
    image = image_module.new("RGB", (width, height), "white")
    draw = draw_module.Draw(image)
    draw.text((4, 4), "layer", fill="black", font=font)
    for at, (caption, counts) in enumerate(history):
        x = left + at * (wide + gap)
        draw.text((x, 4), caption, fill="black", font=font)
        for layer, row in enumerate(counts.tolist()):
            y, begin = top + layer * (high + 3), x
            if at == 0:
                draw.text((4, y - 2), str(layer + 1), fill="black", font=font)
            for part, colour in zip(apportioned(row, wide), COLOURS, strict=True):
                if part:
                    draw.rectangle((begin, y, begin + part - 1, y + high - 1), fill=colour)
                    begin += part
    step = (width - left) // columns
    for gate, (name, colour) in enumerate(zip(NAMES, COLOURS, strict=True)):
        x, y = left + gate % columns * step, top + layers * (high + 3) + 8 + gate // columns * 18
        draw.rectangle((x, y + 2, x + 10, y + 12), fill=colour, outline="#888888")
        draw.text((x + 14, y - 2), name, fill="black", font=font)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def drawn(history: Sequence[tuple[str, Counts]]) -> tuple[bytes, str]:
    """The bars of at most five moments of a training, as a PNG and as text; ``history``: as for :func:`bars_png`."""
    shown = [history[at] for at in sorted({round(part * (len(history) - 1)) for part in _MOMENTS})]
    text = "\n\n".join("\n".join((when, *bars(counts))) for when, counts in shown)
    return bars_png(shown), text + "\n"


def learning_gif(frames: Sequence[tuple[str, Board, Board]], cell: int = 4, milliseconds: int = 160) -> bytes:
    """An animation of boards as they are played, and as they should be: a GIF that repeats.

    Cells that live where they should are black, those that live and should not red, those missing orange: a line below
    the board says so.

    Args:
        frames: a caption, the board played and the right one, each bool (rows, columns), for each frame.
        cell: pixels of a cell's side.
        milliseconds: per frame.
    """
    image_module, draw_module, font_module = _pillow()
    font = font_module.load_default(12)
    palette = [255, 255, 255, 0, 0, 0, 214, 39, 40, 255, 165, 60]
    strip, legend = 20, ("alive", "should be dead", "should live")
    images = []
    for caption, played, right in frames:
        kinds = np.where(played, np.where(right, 1, 2), np.where(right, 3, 0)).astype(np.uint8)
        pixels = np.pad(np.kron(kinds, np.ones((cell, cell), np.uint8)), ((strip, strip), (0, 0)))
        image = image_module.fromarray(pixels)
        image.putpalette(palette)
        draw = draw_module.Draw(image)
        draw.text((4, 3), caption, fill=1, font=font)
        x, y = 4, image.height - strip
        for kind, meaning in enumerate(legend, 1):
            draw.rectangle((x, y + 5, x + 9, y + 14), fill=kind)
            draw.text((x + 14, y + 3), meaning, fill=1, font=font)
            x += 28 + round(font.getlength(meaning))
        images.append(image)
    buffer = io.BytesIO()
    images[0].save(
        buffer, "GIF", save_all=True, append_images=images[1:], duration=milliseconds, loop=0, optimize=False
    )
    return buffer.getvalue()


def _pillow() -> tuple[Any, Any, Any]:
    try:
        from PIL import Image, ImageDraw, ImageFont
    except ImportError as error:
        raise ReferenceUnavailableError(
            f"pictures of training need Pillow, which cannot be imported here ({error}). Install graphsim[tensorflow]."
        ) from error
    return Image, ImageDraw, ImageFont
