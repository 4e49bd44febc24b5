"""Rules compiled from their own code, and what is kept on disk."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from graphsim import native
from graphsim.graph import arithmetic

#: A module with one entry point, as an engine's would be: prints 42 and whether it came from disk.
MODULE = """
from graphsim import native

@native.entry("int64(int64)")
def double(x):
    return 2 * x

if __name__ == "__main__":
    print(double(21), sum(double.stats.cache_hits.values()))
"""


@pytest.fixture
def module(tmp_path: Path) -> Path:
    path = tmp_path / "entry_point.py"
    path.write_text(MODULE)
    return path


def run(module: Path, folder: Path) -> str:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder)}
    done = subprocess.run([sys.executable, module], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def kept(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix in (".nbi", ".nbc"))


def test_a_rule_calls_compiled_rules() -> None:
    mish = native.native(arithmetic.mish)
    assert [mish(x) for x in (-30.0, -1.5, 0.0, 2.25)] == [arithmetic.mish(x) for x in (-30.0, -1.5, 0.0, 2.25)]
    assert native.native(arithmetic.mish) is mish
    assert mish.py_func.__globals__["tanh"] is native.native(arithmetic.tanh)
    assert mish.py_func.__code__ is arithmetic.mish.__code__


def test_a_specialisation_is_filed_under_its_own_name() -> None:
    def template() -> int:
        return meaning()  # type: ignore[name-defined,no-any-return] # noqa: F821

    made = native.specialise(template, "forty_two", meaning=lambda: 42)
    assert made() == 42
    assert (made.__name__, made.__qualname__) == ("forty_two", "forty_two")


@pytest.mark.slow
def test_entry_points_are_kept(module: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    assert run(module, folder) == "42 0"
    files = kept(folder)
    assert len(files) == 2
    assert all(path.relative_to(folder).parts[0].startswith("graphsim-") for path in files)
    assert run(module, folder) == "42 1"
    assert kept(folder) == files


@pytest.mark.slow
def test_processes_may_compile_at_once(module: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    with ThreadPoolExecutor(4) as pool:
        assert {out.split()[0] for out in pool.map(run, [module] * 4, [folder] * 4)} == {"42"}
    assert len(kept(folder)) == 2
    assert run(module, folder) == "42 1"


@pytest.mark.slow
@pytest.mark.parametrize("damage", [b"", b"garbage"])
@pytest.mark.parametrize("suffix", [".nbi", ".nbc"])
def test_damaged_files_do_no_harm(module: Path, tmp_path: Path, suffix: str, damage: bytes) -> None:
    folder = tmp_path / "cache"
    run(module, folder)
    (path,) = (path for path in kept(folder) if path.suffix == suffix)
    path.write_bytes(damage)
    assert run(module, folder).startswith("42 ")


@pytest.mark.slow
def test_a_folder_that_cannot_be_made_does_no_harm(module: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    before = sorted(tmp_path.iterdir())
    assert run(module, tmp_path / "file" / "cache") == "42 0"
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.slow
def test_folders_of_long_ago_are_removed(module: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    for age in range(12):
        (folder / f"graphsim-{age:016x}").mkdir(parents=True)
        os.utime(folder / f"graphsim-{age:016x}", (1_000_000 - age, 1_000_000 - age))
    (folder / "somebody-else").mkdir()
    run(module, folder)
    left = {path.name for path in folder.iterdir()}
    assert {f"graphsim-{age:016x}" for age in range(12)} & left == {f"graphsim-{age:016x}" for age in range(8)}
    assert len(left) == 8 + 1 + 1
    assert "somebody-else" in left
