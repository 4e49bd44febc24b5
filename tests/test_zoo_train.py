"""Training: refusals, shifts, and a run that is killed, resumed, and ends as if nothing had happened."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import signal
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from graphsim.errors import DatasetError, UsageError
from graphsim.zoo import train as trainer
from graphsim.zoo.card import Card, Words, read_facts
from graphsim.zoo.images import shifted
from graphsim.zoo.recipes import RECIPES
from graphsim.zoo.train import Epoch, train, weights_sha256

SCRIPT = str(Path(__file__).resolve().parents[1] / "scripts" / "train.py")


def test_unknown_recipe() -> None:
    with pytest.raises(UsageError, match="no recipe is called 'cifar'; choose one of: mnist, digits"):
        train("cifar")


@pytest.mark.parametrize("epochs", [0, -3, 10000])
def test_epochs_out_of_range(epochs: int, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="training takes 1 to 9999 epochs"):
        train("digits", tmp_path, epochs=epochs)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_seed_out_of_range(seed: int, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the seed must be between 0 and 4294967295"):
        train("digits", tmp_path, seed=seed)


def test_seed_of_the_last_net_out_of_range(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the seed must be between 0 and 4294967290, not 4294967291"):
        train("life", tmp_path, seed=2**32 - 5)


def test_counts_are_shown_as_whole_numbers() -> None:
    epoch = Epoch(3, 10, {"soft_loss": 1.0, "wrong": 12345, "solved": 0})
    assert str(epoch) == "epoch   3 of 10: soft loss 1.0000, wrong 12,345, solved 0"


def test_missing_data_is_said_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHSIM_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("GRAPHSIM_MNIST_MIRROR", raising=False)
    with pytest.raises(DatasetError, match="graphsim fetch mnist"):
        train("mnist", tmp_path / "out", log_dir=tmp_path / "log")
    assert list(tmp_path.iterdir()) == []


def test_resuming_another_run_is_refused(tmp_path: Path) -> None:
    assert trainer._prepare_log(tmp_path, RECIPES["digits"], resume=False) == (0, 0)
    (tmp_path / "epoch-0003.keras").touch()
    with pytest.raises(UsageError, match=r"run\.json: the checkpoints here are of a run with another recipe, seed"):
        train("digits", tmp_path, seed=2, log_dir=tmp_path, resume=True)


def test_a_fresh_run_forgets_old_checkpoints(tmp_path: Path) -> None:
    (tmp_path / "epoch-0003.keras").touch()
    assert trainer._prepare_log(tmp_path, RECIPES["digits"], resume=False) == (0, 0)
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def test_what_is_no_checkpoint_is_none(tmp_path: Path) -> None:
    trainer._prepare_log(tmp_path, RECIPES["digits"], resume=False)
    for name in ("epoch-0003.keras", "epoch-0004x.keras", "epoch-5.keras", "epoch-0002-and-000000007.keras"):
        (tmp_path / name).touch()
    (tmp_path / "epoch-0006.keras").mkdir()
    assert trainer._prepare_log(tmp_path, RECIPES["digits"], resume=True) == (3, 0)


def test_shifts_move_each_image_within_the_distance_and_reach_all_of_it() -> None:
    images = np.zeros((400, 7, 5), np.float32)
    images[:, 3, 2] = np.arange(1, 401)
    moved = shifted(images, 1, np.random.default_rng(5))
    found = np.argwhere(moved)
    assert moved.shape == images.shape
    assert moved.dtype == np.float32
    assert found[:, 0].tolist() == list(range(400))
    assert moved[tuple(found.T)].tolist() == list(range(1, 401))
    assert {tuple(place) for place in (found[:, 1:] - [3, 2]).tolist()} == {
        (down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)
    }


def test_shifts_fill_with_zero() -> None:
    moved = shifted(np.ones((200, 3, 3), np.float32), 1, np.random.default_rng(0))
    assert set(moved.sum(axis=(1, 2)).tolist()) == {4.0, 6.0, 9.0}


def test_weights_digest_is_over_little_endian_float32() -> None:
    kernel = np.arange(6, dtype=np.float32).reshape(2, 3)
    expected = hashlib.sha256(struct.pack("<6f", *range(6)) + struct.pack("<2f", 7, 8)).hexdigest()
    assert weights_sha256([kernel, np.array([7, 8], np.float32)]) == expected
    assert weights_sha256([np.asfortranarray(kernel), np.array([7, 8], ">f4")]) == expected


def test_a_card_of_a_stopped_run_gives_a_command_only_where_there_is_one() -> None:
    words = Words("about", {}, {}, "graphsim train it --epochs 150", starts_alike=True)
    stopped = Card("it", words, {}, {}, stopped="150 of 3,000 epochs").markdown()
    assert "Training was stopped by --minutes after 150 of 3,000 epochs;" in stopped
    assert "Train it again with" in stopped
    other = Card("it", dataclasses.replace(words, starts_alike=False), {}, {}, stopped="150 of 3,000 epochs").markdown()
    assert "No command gives these weights again" in other
    assert "give the same weights" not in other
    assert "stopped" not in Card("it", words, {}, {}).markdown()


RESUME_AND_COMPARE = """
import sys
from pathlib import Path
from graphsim.zoo.train import train
seen, steps_seen = [], []
resumed = train("digits", "resumed", epochs=12, log_dir="log", resume=True, progress=lambda e: seen.append(e.number))
whole = train("digits", "whole", epochs=12, log_dir="other")
other = train("digits", "third", epochs=12, seed=2, log_dir="other")
cut = train("digits", "cut", epochs=12, log_dir="other", minutes=1e-9, steps=lambda *s: steps_seen.append(s))
assert cut.stopped == "0 of 12 epochs and 1 of 38 steps of the next", cut.stopped
assert steps_seen == [(1, 1, 38)], steps_seen
for go_on in (False, True, True):
    part = train("digits", "parts", epochs=12, log_dir="parts/log", minutes=1e-9, resume=go_on)
assert part.stopped == "0 of 12 epochs and 3 of 38 steps of the next", part.stopped
assert [path.name for path in Path("parts/log").glob("epoch-*")] == ["epoch-0000-and-000000003.keras"]
parts = train("digits", "parts", epochs=12, log_dir="parts/log", resume=True)
assert parts.weights_sha256 == whole.weights_sha256
print(seen[0], seen[-1], resumed.weights_sha256, whole.weights_sha256, other.weights_sha256)
"""


@pytest.mark.slow
def test_killed_run_resumes_to_the_same_weights(tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = [
        sys.executable,
        SCRIPT,
        "digits",
        "--epochs",
        "12",
        "--log-dir",
        str(log),
        "--out",
        str(tmp_path / "killed"),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        for line in running.stdout:
            if line.startswith("epoch   3"):
                running.kill()
                break
        running.wait(timeout=60)
    assert running.returncode == -signal.SIGKILL
    assert not (tmp_path / "killed").exists()
    done = max(int(path.stem.removeprefix("epoch-")) for path in log.glob("epoch-*.keras"))
    assert 3 <= done < 12

    result = subprocess.run(
        [sys.executable, "-c", RESUME_AND_COMPARE], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    first, last, resumed, whole, other = result.stdout.split()
    assert (int(first), int(last)) == (done + 1, 12)
    assert resumed == whole
    assert resumed != other
    assert result.stderr == ""

    assert (tmp_path / "resumed" / "digits_mlp.h5").read_bytes() == (tmp_path / "whole" / "digits_mlp.h5").read_bytes()
    assert sorted(path.name for path in (tmp_path / "resumed").iterdir()) == [
        "digits_mlp.h5",
        "digits_mlp.keras",
        "digits_mlp.md",
    ]
    assert [path.name for path in log.glob("epoch-*")] == ["epoch-0012.keras"]
    assert json.loads((log / "run.json").read_text())["recipe"]["epochs"] == 12
    assert list((log / "tensorboard").glob("events.out.tfevents.*"))
    facts = read_facts(tmp_path / "resumed" / "digits_mlp.md")
    assert facts["epochs"] == "12"
    assert facts["weights SHA-256"] == resumed


@pytest.mark.slow
def test_interrupt_ends_without_traceback_or_half_files(tmp_path: Path) -> None:
    command = [sys.executable, SCRIPT, "digits", "--log-dir", str(tmp_path / "log"), "--out", str(tmp_path / "models")]
    command += ["--epochs", "9999"]  # it is stopped long before, however busy the machine
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        running.stdout.readline()
        running.send_signal(signal.SIGINT)
        _, errors = running.communicate(timeout=60)
    assert running.returncode == 130
    assert errors == "stopped; the finished epochs are kept, go on with --resume\n"
    assert not (tmp_path / "models").exists()
    assert all(path.suffix in (".keras", ".json") for path in (tmp_path / "log").iterdir() if path.is_file())


def test_script_refuses_with_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, "digits", "--epochs", "0", "--out", tmp_path], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (2, "error: training takes 1 to 9999 epochs, not 0\n")
