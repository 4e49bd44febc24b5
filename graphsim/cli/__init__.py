"""The command line: ``graphsim COMMAND``. Thin: each command calls the library and prints what it returns.

Exit status: 0 fine; 1 a check failed; 2 unusable input or usage, with one message and never a traceback; 130 stopped by
Ctrl-C; 141 whoever read the output went away (``| head``), which says nothing of checks. Heavy imports
(TensorFlow, Numba, Plotly) happen inside the commands that need them.
"""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from graphsim.errors import CheckFailed, GraphsimError

#: Exit status after Ctrl-C, as shells have it; Typer turns KeyboardInterrupt into it.
STOPPED = 130
#: Exit status where a pipe's reader went away, as shells have it of programs that the signal SIGPIPE ends (128 + 13).
CLOSED = 141
#: Seconds after which a Ctrl-C that has not stopped a command is repeated.
_AGAIN = 0.5


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit status; the entry point of the ``graphsim`` script."""
    with asking_again() as interrupts:
        try:
            return _run(arguments)
        except BaseException:
            # A library in the middle of something may turn the interrupt into an exception of its own.
            if interrupts:
                return _stopped()
            raise


@contextmanager
def asking_again() -> Iterator[list[int]]:
    """Raise KeyboardInterrupt at Ctrl-C, again and again until it is heard; yield the signals that came.

    In a callback of the interpreter's own, as while it imports, an exception is printed and forgotten.
    """
    interrupts: list[int] = []

    def interrupted(number: int, frame: FrameType | None) -> None:
        interrupts.append(number)
        if number == signal.SIGINT and hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, _AGAIN)
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield interrupts
        return
    before = signal.signal(signal.SIGINT, interrupted)
    alarm = signal.signal(signal.SIGALRM, interrupted) if hasattr(signal, "setitimer") else None
    try:
        yield interrupts
    finally:
        if alarm is not None:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, alarm)
        signal.signal(signal.SIGINT, before)


def _run(arguments: list[str] | None) -> int:
    try:
        status = _status(arguments)
        if sys.stdout is not None:
            sys.stdout.flush()
        return status
    except BrokenPipeError:
        # The reader of a pipe went away (`graphsim show ... | head`): nothing more can be printed, nor at Python's end.
        if sys.stdout is not None:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CLOSED


def _status(arguments: list[str] | None) -> int:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that cannot show a name's letters shows their codes
            stream.reconfigure(errors="backslashreplace")
    try:
        from graphsim.cli.app import app

        app(args=arguments, prog_name="graphsim")
    except SystemExit as done:
        if done.code == STOPPED:
            return _stopped()
        if isinstance(done.__context__, BrokenPipeError):  # Typer makes it a 1, as that of a check that failed
            raise done.__context__ from None
        return done.code if isinstance(done.code, int) else 0
    except KeyboardInterrupt:
        return _stopped()
    except CheckFailed as failure:
        _say(f"check failed: {failure}")
        return 1
    except GraphsimError as error:
        _say(f"error: {error}")
        return 2
    except MemoryError:
        _say("error: out of memory; use fewer samples, or a smaller model or machine")
        return 2
    except BrokenPipeError:
        raise
    except OSError as error:
        what = "no space left on the disk" if error.errno == errno.ENOSPC else (error.strerror or str(error))
        _say(f"error: {error.filename + ': ' if error.filename else ''}{what}")
        return 2
    return 0


def _stopped() -> int:
    _say("stopped; no half-written file was left behind")
    return STOPPED


def _say(message: str) -> None:
    print(message, file=sys.stderr)  # noqa: T201 - the last word, when no console may exist


if __name__ == "__main__":
    sys.exit(main())
