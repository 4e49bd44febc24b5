"""Work shared by threads: native code and NumPy hold no GIL."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import TypeVar

from graphsim.simulate.engine import Progress

T = TypeVar("T")


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def share(
    parts: Iterable[T], work: Callable[[T], None], size: Callable[[T], int], threads: int, progress: Progress | None
) -> None:
    """Work off parts in this thread and helpers, begun in order.

    Args:
        size: how many samples a part has.
        progress: is called in this thread, ascending.
    """
    left = deque(parts)
    done = 0
    lock = threading.Lock()
    failures: list[BaseException] = []

    def drain(report: Progress | None) -> None:
        nonlocal done
        while left:
            try:
                part = left.popleft()
            except IndexError:  # another thread was faster
                return
            work(part)
            with lock:
                done += size(part)
            if report is not None:
                report(done)

    def help_out() -> None:
        try:
            drain(None)
        except BaseException as failure:
            failures.append(failure)

    helpers = [threading.Thread(target=help_out, daemon=True) for _ in range(threads - 1)]
    for helper in helpers:
        helper.start()
    try:
        drain(progress)
    finally:
        left.clear()  # after an interrupt, helpers end with the part they are at
        for helper in helpers:
            helper.join()
    if failures:
        raise failures[0]
    if progress is not None and helpers:
        progress(done)
