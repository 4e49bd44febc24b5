"""Damaged circuit files are read or refused with a message, soon, and in little memory."""

from __future__ import annotations

import resource
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from fuzz_circuits import damaged, judge

HERE = {
    "hierarchy.blif": """.model top
.inputs a b c clk
.outputs s o
.subckt half x=a y=b s=t c=k
.subckt half y=c x=t s=u c=l
.latch u s re clk 1
.names k l o
1- 1
-1 1
.end
.model half
.inputs x y
.outputs s c
.names x y s
10 1
01 1
.names x y c
11 1
.end
""",
    "latches.aag": "aag 7 2 1 2 4 1 1 1 1\n2\n4\n6 8 1\n6\n7\n6\n3\n2\n2\n4\n5\n8 4 10\n10 13 15\n12 2 6\n14 3 7\n"
    "i0 enable\ni1 reset\no0 Q\no1 !Q\nb0 bad\nc\nhello\n",
    "table.pla": ".i 8\n.o 2\n.ilb a b c d e f g h\n.ob y z\n.type fr\n"
    + "".join(f"{m:06b}-1 {m % 2}{'01-'[m % 3]}\n" for m in range(40))
    + ".e\n",
    "table.csv": "a,b,c,,y,z\n" + "".join(f"{m & 1},{m >> 1 & 1},{'01-'[m >> 2]},,{m % 2},x\n" for m in range(12)),
}
THERE = ("iscas89/s27.blif", "iscas89/s298.bench", "iscas85/c17.bench", "iscas85/c432.aig", "mcnc/rd84.blif")
#: Damaged files of each of those above.
COUNT = 280


@pytest.fixture
def little_memory() -> Iterator[None]:
    """Within it, this process cannot grow by more than a gigabyte."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + (1 << 30), hard))
    yield
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("name", [*HERE, *THERE])
def test_damaged_files_are_read_or_refused(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if name in HERE:
        whole = HERE[name].encode()
    else:
        whole = (request.getfixturevalue("shared") / "circuits" / name).read_bytes()
    path = tmp_path / name.rpartition("/")[2]
    assert judge(path, whole) == "read"
    found = Counter(judge(path, damaged(whole, seed)) for seed in range(COUNT))
    assert found["refused"] > COUNT // 20
    assert found["read"] > 0
