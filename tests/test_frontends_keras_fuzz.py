"""Thousands of mutated model files: each is lowered or refused with a message, and none crashes or hangs the reader."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
CASES = 2100
BATCHES = 2


@pytest.mark.slow
def test_mutated_files_are_lowered_or_refused(tmp_path: Path) -> None:
    size = CASES // BATCHES
    processes = []
    for batch in range(BATCHES):
        folder = tmp_path / str(batch)
        folder.mkdir()
        command = [sys.executable, str(HERE / "fuzz_keras.py"), str(folder), str(batch * size), str(size)]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        processes.append(subprocess.Popen(command, text=True, cwd=HERE.parent, **streams))  # type: ignore[call-overload]
    verdicts: list[str] = []
    for process in processes:
        try:
            out, err = process.communicate(timeout=500)
        finally:
            process.kill()
        assert process.returncode == 0, f"died in case {out.splitlines()[-1] if out else 'none'}: {err[-3000:]}"
        verdicts += re.findall(r"^\d+ [a-z0-9 ]+ (ok|refused)$", out, re.MULTILINE)
        assert "traceback" not in out and "unclear" not in out, out[-3000:]
    assert len(verdicts) == CASES
    assert verdicts.count("refused") > CASES // 2
    assert verdicts.count("ok") > CASES // 20, (
        "mutations must also leave files that can be read, or they are too coarse"
    )
