"""Life in the terminal: what is drawn, what keys do, and the loop that does both in time."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.live import Live
from rich.text import Text

from graphsim.life import drawn, soup
from graphsim.simulate.circuit.cells import CellularAutomaton

#: Waits for keys for at most so many seconds; "" if none came.
Keys = Callable[[float], str]

_FRAMES = 30.0


class Player:
    """A board that is played: how fast, how far, and whether at all just now.

    Args:
        automaton: the board.
        speed: generations per second, 0.1 to 1000.
        last: generation to stop at; None to go on.
        density, seed: of random boards.
    """

    def __init__(
        self, automaton: CellularAutomaton, speed: float, last: int | None, density: float = 0.35, seed: int = 0
    ) -> None:
        self.automaton, self.speed, self.last = automaton, speed, last
        self._density, self._seed = density, seed
        self.generation = 0
        self.paused = self.done = False
        self._owed = 0.0

    def key(self, pressed: str) -> None:
        """Do what a key stands for; other keys do nothing."""
        match pressed:
            case " " | "p":
                self.paused = not self.paused
            case "n" | ".":
                self.paused = True
                self._step(1)
            case "+" | "=":
                self.speed = min(1000.0, self.speed * 1.5)
            case "-":
                self.speed = max(0.1, self.speed / 1.5)
            case "r":
                self._seed += 1
                rows, columns = self.automaton.board.shape
                self.automaton.board = soup(rows, columns, self._density, self._seed)
                self.generation = 0
            case "q" | "\x1b" | "\x04":
                self.done = True

    def advance(self, seconds: float) -> None:
        """Play what is due after so much more time."""
        if not self.paused:
            self._owed = min(self._owed + seconds * self.speed, max(1.0, self.speed / 4))
            self._step(int(self._owed))
            self._owed -= int(self._owed)

    def _step(self, generations: int) -> None:
        if self.last is not None:
            generations = min(generations, self.last - self.generation)
            self.done = self.done or self.generation + generations >= self.last
        if generations:
            self.automaton.step(generations)
            self.generation += generations

    def frame(self, height: int, width: int) -> Text:
        """The part of the board that fits so many lines of so many characters, and a line below it."""
        board = self.automaton.board
        lines = drawn(board[: 2 * (height - 1), :width])
        state = "paused" if self.paused else f"{self.speed:.3g} generations/s"
        below = f"generation {self.generation:,}  {int(board.sum()):,} live  {state}  space n + - r q"
        return Text("\n".join((*lines, below[:width])), no_wrap=True)


def play(player: Player, console: Console, keys: Keys | None = None) -> None:
    """Draw and play until the player is done."""
    with contextlib.ExitStack() as stack:
        pressed = keys if keys is not None else stack.enter_context(_keyboard())
        live = stack.enter_context(Live(console=console, screen=True, auto_refresh=False))
        before = time.monotonic()
        while not player.done:
            live.update(player.frame(console.height, console.width), refresh=True)
            for key in pressed(1 / min(_FRAMES, max(1.0, player.speed))):
                player.key(key)
            now = time.monotonic()
            player.advance(now - before)
            before = now


@contextlib.contextmanager
def _keyboard() -> Iterator[Keys]:
    """Keys as they are pressed, of the terminal at standard input, which is as it was afterwards."""
    import select
    import termios
    import tty

    file = sys.stdin.fileno()
    kept = termios.tcgetattr(file)

    def pressed(seconds: float) -> str:
        if not select.select([file], [], [], seconds)[0]:
            return ""
        found = os.read(file, 32).decode("latin-1")
        return found if len(found) == 1 or found[0] != "\x1b" else ""  # not what arrows and the like send

    tty.setcbreak(file)
    try:
        yield pressed
    finally:
        termios.tcsetattr(file, termios.TCSADRAIN, kept)
