"""The bound on what a C library may allocate: it holds within its block, and is gone after it."""

from __future__ import annotations

import resource
import threading

import numpy as np
import pytest

from graphsim.frontends.keras.limits import memory_at_most


def test_allocations_beyond_the_bound_fail_and_later_ones_do_not() -> None:
    before = resource.getrlimit(resource.RLIMIT_AS)
    with memory_at_most(64 << 20):
        np.ones(1 << 20)
        with pytest.raises(MemoryError):
            np.ones(1 << 26)
    assert resource.getrlimit(resource.RLIMIT_AS) == before
    assert np.ones(1 << 26).size == 1 << 26


def test_the_bound_is_lifted_when_the_block_fails() -> None:
    before = resource.getrlimit(resource.RLIMIT_AS)
    with pytest.raises(KeyError), memory_at_most(1 << 28):
        raise KeyError
    assert resource.getrlimit(resource.RLIMIT_AS) == before


def test_blocks_within_blocks_and_beside_each_other_leave_no_bound_behind() -> None:
    before = resource.getrlimit(resource.RLIMIT_AS)
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with memory_at_most(1 << 30):
            entered.set()
            leave.wait(10)

    other = threading.Thread(target=hold)
    with memory_at_most(1 << 30):
        other.start()
        assert entered.wait(10)
        with memory_at_most(1 << 30):
            pass
    assert resource.getrlimit(resource.RLIMIT_AS) != before
    leave.set()
    other.join()
    assert resource.getrlimit(resource.RLIMIT_AS) == before
