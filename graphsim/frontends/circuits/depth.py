"""Work on deeply nested input: expressions of a hundred thousand operands, in parentheses or not."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from typing import Any, TypeVar

T = TypeVar("T")

#: A step of work that is written as recursion: it yields the steps whose results it needs, and is sent these.
Step = Generator["Step[Any]", Any, T]


def done(step: Step[T]) -> T:
    """The result of a step and all those that it needs, however deep, without recursion."""
    stack: list[Step[Any]] = [step]
    value: Any = None
    while True:
        try:
            needed = stack[-1].send(value)
        except StopIteration as stop:
            stack.pop()
            value = stop.value
            if not stack:
                result: T = value
                return result
        else:
            stack.append(needed)
            value = None


def on_stack(size: int, work: Callable[[], T]) -> T:
    """What ``work`` returns or raises, done on a stack of so many bytes (of addresses; memory is taken as used).

    Raises:
        MemoryError: there are not so many addresses.
    """
    found: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            found.append(work())
        except BaseException as error:
            errors.append(error)

    before = threading.stack_size(size)
    try:
        thread = threading.Thread(target=run, name="graphsim-deep")
        thread.start()
    except RuntimeError as error:
        raise MemoryError from error
    finally:
        threading.stack_size(before)
    thread.join()
    if errors:
        raise errors[0]
    return found[0]
