"""From ``faults.toml`` to :class:`Faults`: what goes wrong, by names. The format is specified in ``docs/faults.md``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import FailFast, Field, ValidationError

from graphsim.errors import FaultsError
from graphsim.machine.positions import KeyPath
from graphsim.machine.settings import SETTINGS
from graphsim.machine.tables import Fault, Form, Table, places

#: How frames are protected: not at all, by one parity bit, or by a CRC of eight bits.
Checksum = Literal["none", "parity", "crc8"]
CHECKSUMS: tuple[Checksum, ...] = get_args(Checksum)
#: What may happen to a bit of a weight.
Change = Literal["flip", "stuck at 0", "stuck at 1"]
Unit = Literal["metacycle", "tick"]
#: Bits that a corruption flips at most.
MOST_BITS = 8
#: The latest time that can be named, in either unit.
LATEST = 2**40
#: Iterations are numbered with 31 bits.
_ITERATION = Field(ge=0, le=2**31 - 1)
_TIME = Field(ge=0, le=LATEST)


class _Timed(Table):
    at: Annotated[int, _TIME]
    unit: Unit = "metacycle"


class CorruptionTable(Table):
    """``[corruption]``: each valid frame is hit with this probability on each hop, and some of its bits flip."""

    rates: Annotated[list[Annotated[float, Field(ge=0, le=1)]], Field(min_length=1, max_length=64), FailFast()]
    bits: Annotated[int, Field(ge=1, le=MOST_BITS)] = 1


class CrashTable(_Timed):
    """``[[crash]]``: a compute node or a switch does nothing any more from a time on, and its links are down."""

    node: str


class _OnLink(_Timed):
    src: Annotated[str, Field(alias="from")]
    dst: Annotated[str, Field(alias="to")]
    both_ways: bool = False


class LinkDownTable(_OnLink):
    """``[[link_down]]``: frames that are on a link between ``at`` and ``until`` (without: ever) are lost."""

    until: Annotated[int | None, _TIME] = None


class LateLinkTable(_OnLink):
    """``[[late_link]]``: frames sent from a time on have another latency, in link cycles; calendars do not know."""

    latency: Annotated[int, Field(ge=SETTINGS["link.latency"].low, le=SETTINGS["link.latency"].high)]


class WeightTable(Table):
    """``[[weight]]``: a bit of a weight of a neuron is wrong; where they are not given, chance takes weight and bit."""

    neuron: str
    weight: Annotated[int | None, Field(ge=0, le=2**31 - 1)] = None
    bit: Annotated[int | None, Field(ge=0, le=31)] = None
    change: Change = "flip"


class DropTable(Table):
    """``[[drop]]``: the token that an actor makes is lost, in some iterations."""

    actor: str
    iterations: Annotated[list[Annotated[int, _ITERATION]], Field(min_length=1), FailFast()]


class _FaultsTable(Table):
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] = 0
    checksums: Annotated[list[Checksum], Field(min_length=1), FailFast()] = Field(default=["none", "crc8"])
    corruption: CorruptionTable | None = None
    crash: Annotated[list[CrashTable], FailFast()] = Field(default_factory=list)
    link_down: Annotated[list[LinkDownTable], FailFast()] = Field(default_factory=list)
    late_link: Annotated[list[LateLinkTable], FailFast()] = Field(default_factory=list)
    weight: Annotated[list[WeightTable], FailFast()] = Field(default_factory=list)
    drop: Annotated[list[DropTable], FailFast()] = Field(default_factory=list)


@dataclass(frozen=True)
class Faults:
    """What goes wrong, by names that have not been looked up.

    Attributes:
        name: what the file is called.
        seed: of all chance.
        checksums: every rate is run with each of these.
        rates: probabilities of corruption per valid frame and hop, each for a run of its own; (0,) where there is none.
        bits: how many bits of a frame a corruption flips.
        place: says where in the file a key is, for messages.
    """

    name: str
    seed: int
    checksums: tuple[Checksum, ...]
    rates: tuple[float, ...]
    bits: int
    crashes: tuple[CrashTable, ...]
    links_down: tuple[LinkDownTable, ...]
    late_links: tuple[LateLinkTable, ...]
    weights: tuple[WeightTable, ...]
    drops: tuple[DropTable, ...]
    place: Callable[[KeyPath], str]

    def record(self) -> dict[str, Any]:
        """The file as JSON has it."""
        lists = {
            "crash": self.crashes,
            "link_down": self.links_down,
            "late_link": self.late_links,
            "weight": self.weights,
            "drop": self.drops,
        }
        listed = {key: [table.model_dump(by_alias=True) for table in tables] for key, tables in lists.items()}
        rates = {"rates": list(self.rates), "bits": self.bits}
        return {"name": self.name, "seed": self.seed, "checksums": list(self.checksums), "corruption": rates, **listed}


_FORM = Form(
    "faults",
    FaultsError,
    "name fewer faults",
    {
        (): _FaultsTable,
        ("corruption",): CorruptionTable,
        ("crash",): CrashTable,
        ("link_down",): LinkDownTable,
        ("late_link",): LateLinkTable,
        ("weight",): WeightTable,
        ("drop",): DropTable,
    },
)


def read_faults(path: Path) -> Faults:
    """The faults that a TOML file describes.

    Raises:
        FaultsError: the file cannot be read, is larger than 1 MiB, is not TOML, or breaks the format. The message has
            one line per fault: ``file:line: key: what is wrong``.
    """
    return faults_from_toml(_FORM.read(path), str(path))


def faults_from_toml(text: str, source: str = "faults.toml") -> Faults:
    """The faults that TOML text describes; ``source`` is what messages call it.

    Raises:
        FaultsError: as for :func:`read_faults`.
    """
    text = text.replace("\r\n", "\n")
    data, place = _FORM.parse(text, source), places(text, source)
    try:
        table = _FaultsTable.model_validate(data)
        _check(table)
    except (ValidationError, Fault) as error:
        raise FaultsError(_FORM.report(error, place)) from None
    corruption = table.corruption or CorruptionTable(rates=[0.0])
    return Faults(
        name=Path(source).name,
        seed=table.seed,
        checksums=tuple(dict.fromkeys(table.checksums)),
        rates=tuple(sorted({float(rate) for rate in corruption.rates})),
        bits=corruption.bits,
        crashes=tuple(table.crash),
        links_down=tuple(table.link_down),
        late_links=tuple(table.late_link),
        weights=tuple(table.weight),
        drops=tuple(table.drop),
        place=place,
    )


def _check(table: _FaultsTable) -> None:
    if not table.model_fields_set - {"seed", "checksums"}:
        raise Fault(
            (), "no faults; write [corruption], [[crash]], [[link_down]], [[late_link]], [[weight]] or [[drop]]"
        )
    for i, down in enumerate(table.link_down):
        if down.until is not None and down.until <= down.at:
            raise Fault(("link_down", i, "until"), f"must be after at, {down.at}, not {down.until}")
