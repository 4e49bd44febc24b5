"""Rows, and the folder that keeps them.

``DIR/results/KEY.parquet`` is one row, that of the point with this key. Files are written once, each atomically, and
never changed: what is there is whole, and one point cannot be there twice. ``DIR/sweep.json`` tells which points and
constraints the last study had.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from graphsim.errors import StudyError
from graphsim.files import printable, write_bytes, write_text

Row = dict[str, Any]

_TEXT, _INT, _FLOAT = pa.string(), pa.int64(), pa.float64()
SCHEMA = pa.schema(
    [
        # What was computed: the configuration.
        ("key", _TEXT),
        ("model", _TEXT),
        ("model_sha256", _TEXT),
        ("machine", _TEXT),
        ("machine_digest", _TEXT),
        ("nodes", _INT),
        ("links", _INT),
        ("link_latency", _INT),
        ("frame_bits", _INT),
        ("macs_per_tick", _INT),
        ("memory_bytes", _INT),
        ("max_fan_in", _INT),
        ("tile", _INT),
        ("place", _TEXT),
        ("buffering", _TEXT),
        ("seed", _INT),
        ("dataset", _TEXT),
        ("samples", _INT),
        ("engine", _TEXT),
        ("compare", pa.bool_()),
        ("dataset_sha256", _TEXT),
        ("faults", _TEXT),
        ("faults_sha256", _TEXT),
        ("corruption_rate", _FLOAT),
        ("checksum", _TEXT),
        # By what.
        ("version", _TEXT),
        ("python", _TEXT),
        ("numpy", _TEXT),
        # Whether it went well: "ok" or "failed", and then in which stage and why.
        ("status", _TEXT),
        ("stage", _TEXT),
        ("reason", _TEXT),
        # What came out. Ticks, bytes; the load is a share of what the busiest link can send.
        ("actors", _INT),
        ("graph_digest", _TEXT),
        ("strategy", _TEXT),
        ("period", _INT),
        ("bound", _INT),
        ("binding_kind", _TEXT),
        ("binding", _TEXT),
        ("latency", _INT),
        ("nodes_used", _INT),
        ("memory", _INT),
        ("fullest_node", _TEXT),
        ("link_load", _FLOAT),
        ("busiest_link", _TEXT),
        ("traffic", _INT),
        ("period_unpipelined", _INT),
        ("period_layered", _INT),
        ("accuracy", _FLOAT),
        ("outside_bound", _INT),
        # With faults: shares of all samples answered rightly, answered silently wrong, and not answered in full; and of
        # the corrupted frames, those that the checksum gave away.
        ("faulty_accuracy", _FLOAT),
        ("silent_rate", _FLOAT),
        ("missing_rate", _FLOAT),
        ("coverage", _FLOAT),
        # Wall seconds of each stage, measured; close to 0 where the worker had made the same before.
        ("seconds_lower", _FLOAT),
        ("seconds_fold", _FLOAT),
        ("seconds_verify", _FLOAT),
        ("seconds_simulate", _FLOAT),
        ("seconds_compare", _FLOAT),
        ("seconds_faults", _FLOAT),
        # All of the point, from when a worker takes it on to its row.
        ("seconds", _FLOAT),
    ]
)
#: What every row has; and one that went well.
_ALWAYS = ("key", "model", "model_sha256", "machine", "buffering", "seed", "status")
_WELL = ("nodes", "period", "bound", "latency", "memory", "link_load")
_FILE = re.compile(r"([0-9a-f]{64})\.parquet")


def write_row(folder: Path, row: Row) -> None:
    """Keep a row.

    Raises:
        UsageError: the folder cannot be written. OSError: the disk is full.
    """
    made = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([row], SCHEMA), made)
    write_bytes(folder / "results" / f"{row['key']}.parquet", made.getvalue())


def known_keys(folder: Path) -> set[str]:
    """Keys of all rows of a folder."""
    results = folder / "results"
    if not results.is_dir():
        return set()
    return {match[1] for file in results.iterdir() if (match := _FILE.fullmatch(file.name))}


def read_rows(folder: Path, keys: Iterable[str] | None = None) -> list[Row]:
    """Rows of a folder in the order of their keys; of these points alone, in this order, where ``keys`` are given.

    Raises:
        StudyError: a file is damaged.
    """
    known = known_keys(folder)
    wanted = sorted(known) if keys is None else [key for key in dict.fromkeys(keys) if key in known]
    if not wanted:
        return []
    files = [str(folder / "results" / f"{key}.parquet") for key in wanted]
    try:
        rows: Sequence[Row] = ds.dataset(files, schema=SCHEMA, format="parquet").to_table().to_pylist()
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise StudyError(
            f"{printable(folder / 'results')}: a file there is not one of results ({reason}); "
            "take it away, and run the sweep again to compute it anew"
        ) from error
    for row in rows:
        needed = (*_ALWAYS, *(_WELL if row["status"] == "ok" else ()))
        if lacking := [name for name in needed if row[name] is None]:
            file = folder / "results" / f"{row['key']}.parquet"
            raise StudyError(f"{printable(file)}: lacks {', '.join(lacking)}; take it away, and run the sweep again")
    by_key = {row["key"]: row for row in rows}
    return [by_key[key] for key in wanted]


def write_sweep(
    folder: Path,
    study: str,
    constraints: Iterable[str],
    keys: Iterable[str],
    models: Mapping[str, str] | None = None,
    machines: Mapping[str, str] | None = None,
) -> None:
    """Write ``sweep.json``: the study's name, its constraints, the keys of its points, and where things came from.

    Args:
        models: where each model is, by the SHA-256 (hex) of its bytes.
        machines: what each machine was made of (a file, or a built-in by name), by the name that rows have.

    Raises:
        UsageError: the folder cannot be written.
    """
    document = {
        "schema_version": 1,
        "study": study,
        "constraints": list(constraints),
        "points": list(keys),
        "models": dict(sorted((models or {}).items())),
        "machines": dict(sorted((machines or {}).items())),
    }
    write_text(folder / "sweep.json", json.dumps(document, indent=1) + "\n")


def read_sweep(folder: Path) -> tuple[list[str], list[str]]:
    """Constraints, and keys of the points, of the last study of a folder.

    Raises:
        StudyError: it is not the folder of a sweep.
    """
    document = _sweep_document(folder)
    return document["constraints"], document["points"]


def read_origins(folder: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Where the models of a folder's last study are, by the SHA-256 of their bytes; what each machine was made of.

    Raises:
        StudyError: it is not the folder of a sweep.
    """
    document = _sweep_document(folder)
    return document["models"], document["machines"]


def _sweep_document(folder: Path) -> dict[str, Any]:
    file = folder / "sweep.json"
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        document = {"models": {}, "machines": {}, **document}
        texts = (*document["constraints"], *document["points"])
        pairs = (*document["models"].items(), *document["machines"].items())
        if not all(isinstance(text, str) for text in (*texts, *(one for pair in pairs for one in pair))):
            raise TypeError
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not what graphsim sweep writes"
        raise StudyError(
            f"{printable(file)}: cannot be read ({reason}); give the folder that graphsim sweep --out wrote"
        ) from None
    return document
