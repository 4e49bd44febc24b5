"""Finding shipped models, from anywhere, and saying so when there are none."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from graphsim import zoo
from graphsim.errors import ModelError, UsageError
from graphsim.zoo import shipped

CHECKOUT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("name", ["mnist", "mnist_mlp", "digits", "digits_mlp"])
@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_finds_the_file(name: str, suffix: str) -> None:
    path = shipped(name, suffix)
    assert path.is_file()
    assert path.name == name.removesuffix("_mlp") + "_mlp" + suffix


def test_finds_it_from_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert shipped("digits").is_file()


@pytest.mark.parametrize("name", ["cifar", "", "../models/mnist_mlp", "mnist_mlp.h5"])
def test_unknown_name(name: str) -> None:
    with pytest.raises(UsageError, match="choose one of: mnist, digits"):
        shipped(name)


def test_unknown_suffix() -> None:
    with pytest.raises(UsageError, match=r"are \.h5 and \.keras files, not '\.onnx'"):
        shipped("mnist", ".onnx")


def test_missing_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zoo, "models_folder", lambda: tmp_path)
    with pytest.raises(ModelError, match=rf"{tmp_path}/mnist_mlp\.h5: not there.*graphsim train mnist"):
        shipped("mnist")


def installed(folder: Path, files: list[str]) -> None:
    """Lay out an installation of the package in ``folder``: code, metadata with a RECORD, and data files."""
    shutil.copytree(CHECKOUT / "graphsim", folder / "lib" / "graphsim", ignore=shutil.ignore_patterns("__pycache__"))
    metadata = folder / "lib" / "graphsim-0.1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: graphsim\nVersion: 0.1.0\n")
    (metadata / "RECORD").write_text("".join(f"{name},,\n" for name in ["graphsim/__init__.py", *files]))
    for name in files:
        target = folder / "lib" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(CHECKOUT / "models" / target.name, target)


def ask(folder: Path) -> subprocess.CompletedProcess[str]:
    code = "import sys; sys.path.insert(0, sys.argv[1]); from graphsim import zoo; print(zoo.shipped('mnist'))"
    return subprocess.run([sys.executable, "-c", code, folder / "lib"], cwd=folder, capture_output=True, text=True)


def test_installed_package_finds_its_data_files(tmp_path: Path) -> None:
    installed(tmp_path, ["../share/graphsim/models/mnist_mlp.h5"])
    done = ask(tmp_path)
    assert done.stdout.strip() == str(tmp_path / "share" / "graphsim" / "models" / "mnist_mlp.h5"), done.stderr


def test_installed_package_without_models_says_so(tmp_path: Path) -> None:
    installed(tmp_path, [])
    done = ask(tmp_path)
    assert "ModelError: this installation of graphsim has no models" in done.stderr


def test_importing_the_zoo_is_light() -> None:
    code = "import sys, graphsim.zoo.train; print([m for m in ('sklearn', 'tensorflow', 'keras') if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown == "[]\n"
