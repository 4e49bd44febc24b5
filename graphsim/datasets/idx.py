"""Reader for gzip-compressed IDX files, the format of MNIST.

The layout is the one on the MNIST page of Y. LeCun et al.: two zero bytes, one byte for the element type (8 is
unsigned byte), one byte for the number of dimensions, each dimension as a big-endian uint32, then the elements in C
order.
"""

from __future__ import annotations

import gzip
import io
import math
import struct
import zlib

import numpy as np
import numpy.typing as npt

from graphsim.errors import DatasetError

UNSIGNED_BYTE = 0x08

MAX_ELEMENTS = 1 << 28
"""Largest array that is read, in elements (one byte each): 256 MiB, over five times the MNIST training images."""


def parse_idx(data: bytes, name: str, *, dimensions: int, max_elements: int = MAX_ELEMENTS) -> npt.NDArray[np.uint8]:
    """Decode a ``.gz`` IDX file of unsigned bytes. Never inflates more than the header's sizes announce.

    Args:
        data: the compressed file.
        name: how to call the file in messages.
        dimensions: the number of dimensions that it must have (3 for images, 1 for labels).
        max_elements: refuse larger arrays before reading them.

    Returns:
        uint8 array of the shape in the header, read-only.

    Raises:
        DatasetError: not gzip, truncated, wrong type or number of dimensions, an empty or too large shape, or bytes
            left over.
    """
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
            magic = stream.read(4)
            if len(magic) < 4:
                raise DatasetError(f"{name}: not an IDX file: only {len(magic)} bytes long. Fetch it again.")
            if magic[:2] != b"\0\0" or magic[2] != UNSIGNED_BYTE or magic[3] != dimensions:
                raise DatasetError(
                    f"{name}: not an IDX file of unsigned bytes in {dimensions} dimension(s): it starts with"
                    f" 0x{magic.hex()}, not 0x0000{UNSIGNED_BYTE:02x}{dimensions:02x}."
                )
            header = stream.read(4 * dimensions)
            if len(header) < 4 * dimensions:
                raise DatasetError(f"{name}: the IDX header ends after {4 + len(header)} bytes. Fetch it again.")
            shape = struct.unpack(f">{dimensions}I", header)
            elements = math.prod(shape)
            if not 0 < elements <= max_elements:
                raise DatasetError(f"{name}: the IDX header announces shape {shape}; at most {max_elements} are read.")
            body = stream.read(elements)
            if len(body) < elements:
                raise DatasetError(f"{name}: holds {len(body)} of the {elements} bytes that its header announces.")
            if stream.read(1):
                raise DatasetError(f"{name}: has bytes left over after the {elements} that its header announces.")
    except (OSError, EOFError, zlib.error) as error:
        raise DatasetError(f"{name}: damaged or not gzip ({error}). Fetch it again.") from error
    return np.frombuffer(body, dtype=np.uint8).reshape(shape)
