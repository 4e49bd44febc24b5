"""A bound on the memory that a call into a C library may take.

The HDF5 library believes the sizes that a file states: a damaged length of one of its tables makes it allocate, and
fill, gigabytes. Within :func:`memory_at_most` such an allocation fails instead, and HDF5 reports an error.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import resource
except ImportError:  # Windows has no such limits
    resource = None  # type: ignore[assignment]

_STATM = Path("/proc/self/statm")
_IS_KNOWN = resource is not None and _STATM.exists()
_lock = threading.Lock()
_inside = 0
_before = (0, 0)


@contextmanager
def memory_at_most(size: int) -> Iterator[None]:
    """Let the process's address space grow by at most ``size`` bytes in this block; beyond, allocations fail.

    The limit is the process's (RLIMIT_AS), so the block should be short. Where blocks overlap, in several threads or
    one within another, the first sets the limit and the last lifts it. Does nothing on systems without ``/proc``.
    """
    global _inside, _before
    if not _IS_KNOWN:
        yield
        return
    with _lock:
        _inside += 1
        if _inside == 1:
            _before = resource.getrlimit(resource.RLIMIT_AS)
            pages = int(_STATM.read_text().split()[0])
            wanted = pages * resource.getpagesize() + size
            soft, hard = _before
            resource.setrlimit(resource.RLIMIT_AS, (wanted if soft < 0 else min(soft, wanted), hard))
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                resource.setrlimit(resource.RLIMIT_AS, _before)
