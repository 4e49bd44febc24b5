"""Runs in which things go wrong: frames, links, nodes, weights, tokens.

::

    file.py      faults.toml, validated with pydantic: what goes wrong, by names
    plan.py      the same, looked up in a graph and a schedule; how tokens lie in frames; checksums
    draws.py     chance that depends on seed, hop, iteration and frame alone
    loop.py      the machine's inner loop with a third state, missing, native
    machine.py   the machine engine with faults
    events.py    the events engine with faults: the oracle
"""

from graphsim.simulate.faults.file import CHECKSUMS, Checksum, Faults, faults_from_toml, read_faults
from graphsim.simulate.faults.plan import Plan, plan_faults
from graphsim.simulate.faults.run import FaultyRun

__all__ = ["CHECKSUMS", "Checksum", "Faults", "FaultyRun", "Plan", "faults_from_toml", "plan_faults", "read_faults"]
