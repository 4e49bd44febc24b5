"""The IDX reader: exact on good files, one clear error on anything else, and no memory spent on a lie."""

from __future__ import annotations

import gzip
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from graphsim.datasets.idx import parse_idx
from graphsim.errors import DatasetError


def idx(array: np.ndarray) -> bytes:
    """The format written down independently: magic, big-endian sizes, bytes."""
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return gzip.compress(header + array.tobytes(), mtime=0)


SMALL = idx(np.arange(24, dtype=np.uint8).reshape(2, 3, 4))


@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=1, max_dims=4, max_side=7)))
def test_reads_what_was_written(array: np.ndarray) -> None:
    read = parse_idx(idx(array), "x.gz", dimensions=array.ndim)
    assert read.dtype == np.uint8
    assert np.array_equal(read, array)
    assert read.shape == array.shape


@given(st.integers(0, len(SMALL) - 1))
def test_truncated_anywhere_is_refused(length: int) -> None:
    with pytest.raises(DatasetError, match=r"^x\.gz: "):
        parse_idx(SMALL[:length], "x.gz", dimensions=3)


@given(st.integers(0, 15), st.integers(0, 7))
def test_a_flipped_bit_in_the_header_is_refused(position: int, bit: int) -> None:
    body = bytearray(gzip.decompress(SMALL))
    body[position] ^= 1 << bit
    with pytest.raises(DatasetError, match=r"^x\.gz: "):
        parse_idx(gzip.compress(bytes(body)), "x.gz", dimensions=3)


@given(st.integers(0, len(SMALL) - 1), st.integers(0, 7))
def test_a_flipped_bit_in_the_compressed_file_never_changes_a_value(position: int, bit: int) -> None:
    damaged = bytearray(SMALL)
    damaged[position] ^= 1 << bit
    try:
        read = parse_idx(bytes(damaged), "x.gz", dimensions=3)
    except DatasetError as error:
        assert str(error).startswith("x.gz: ")
    else:  # a bit that says nothing about the content: in the time stamp, or padding
        assert read.tobytes() == bytes(range(24))


@given(st.binary(max_size=200))
def test_noise_is_refused(noise: bytes) -> None:
    with pytest.raises(DatasetError):
        parse_idx(noise, "x.gz", dimensions=1)


@given(st.binary(max_size=60))
def test_compressed_noise_is_refused(noise: bytes) -> None:
    body = b"\x01" + noise
    with pytest.raises(DatasetError, match="not an IDX file"):
        parse_idx(gzip.compress(body), "x.gz", dimensions=1)


@pytest.mark.parametrize(
    ("magic", "shape"),
    [(0x0803, (5,)), (0x0D01, (5,)), (0x0901, (5,)), (0x10801, (5,))],
    ids=["3d", "float", "signed", "high-bytes"],
)
def test_another_type_or_rank_is_refused(magic: int, shape: tuple[int, ...]) -> None:
    data = gzip.compress(struct.pack(">I", magic) + struct.pack(">I", *shape) + bytes(5))
    with pytest.raises(DatasetError, match=f"it starts with 0x{magic:08x}, not 0x00000801"):
        parse_idx(data, "x.gz", dimensions=1)


@pytest.mark.parametrize("shape", [(0, 28, 28), (2**32 - 1,) * 3, (2**14, 2**14, 2)], ids=["empty", "2^96", "2^29"])
def test_impossible_shapes_are_refused_before_reading(shape: tuple[int, int, int]) -> None:
    data = gzip.compress(struct.pack(">I3I", 0x0803, *shape) + bytes(64))
    with pytest.raises(DatasetError, match="the IDX header announces shape"):
        parse_idx(data, "x.gz", dimensions=3)


def test_bomb_is_not_inflated() -> None:
    data = gzip.compress(struct.pack(">II", 0x0801, 10) + bytes(64 << 20))
    tracemalloc.start()
    with pytest.raises(DatasetError, match="bytes left over after the 10"):
        parse_idx(data, "x.gz", dimensions=1)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 << 20


def test_bytes_missing_are_counted() -> None:
    data = gzip.compress(struct.pack(">II", 0x0801, 10) + bytes(7))
    with pytest.raises(DatasetError, match="holds 7 of the 10 bytes"):
        parse_idx(data, "x.gz", dimensions=1)
