"""``graphsim alu``: one calculation, or a prompt for many, answered by simulating the graph of a net."""

from __future__ import annotations

import contextlib
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from graphsim.cli.common import JsonOption, check_outputs, console_for, write_json
from graphsim.errors import UsageError

if TYPE_CHECKING:
    from graphsim.calculator import Calculator
    from graphsim.compare.answers import Answers

_SUM = re.compile(r"\s*(-?[0-9]{1,30})\s*([^\s0-9-][^\s0-9-]*|-)\s*(-?[0-9]{1,30})\s*")


class CalculationCommand(TyperCommand):
    """A command whose argument may begin with a minus and a digit: that is a calculation, not an option."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put such an argument behind ``--``; one with a number alone may belong to the option before it."""
        if "--" not in args:
            negative = [argument for argument in args if re.match(r"-[0-9]+\s*[^\s0-9]", argument)]
            if negative:
                args = [*(argument for argument in args if argument not in negative), "--", *negative]
        return super().parse_args(ctx, args)


def alu(
    calculation: Annotated[
        str | None, typer.Argument(help="E.g. '22 * 33'. (default: a prompt)", show_default=False)
    ] = None,
    bits: Annotated[
        int | None, typer.Option("--bits", help="Bits of the operands. (default: the fewest that do)", min=1)
    ] = None,
    model: Annotated[
        Path | None, typer.Option("--model", metavar="FILE", help="A net that calculates. (default: a shipped one)")
    ] = None,
    json: JsonOption = None,
) -> None:
    """Calculate with a trained net, by simulating its dataflow graph.

    Without a calculation it asks for them, until quit or Ctrl-D. Operations: + - * / % AND OR XOR < > = !=

    Examples:

        graphsim alu '22 * 33'

        graphsim alu '31720 / 4697'
    """
    from graphsim.calculator import Calculator

    console = console_for(json)
    check_outputs(json)
    calculator = Calculator(bits, model)
    if calculation is not None:
        answers = calculator(*parsed(calculation))
        console.print(answers.line(0), markup=False)
        write_json(json, {"schema_version": 1, **_record(answers)})
        return
    if json is not None:
        raise UsageError("--json goes with a calculation, not with the prompt")
    _prompt(calculator)


def parsed(text: str) -> tuple[int, str, int]:
    """The parts of ``a operation b``.

    Raises:
        UsageError: it is not that.
    """
    from graphsim.datasets.arithmetic import OPERATIONS

    found = _SUM.fullmatch(text)
    operation = found[2].upper() if found else ""
    operation = {"==": "=", "&": "AND", "|": "OR", "^": "XOR"}.get(operation, operation)
    if found is None or operation not in OPERATIONS:
        raise UsageError(
            f"{text[:60]!r} is not a calculation; write two integers and one of {' '.join(OPERATIONS)} between them,"
            " such as '22 * 33'"
        )
    return int(found[1]), operation, int(found[3])


def _record(answers: Answers) -> dict[str, object]:
    from graphsim.datasets.arithmetic import OPERATIONS

    asked = answers.calculations
    return {
        "a": int(asked.a[0]),
        "operation": OPERATIONS[int(asked.operation[0])],
        "b": int(asked.b[0]),
        "bits": asked.bits,
        "result": int(answers.found[0]),
        "expected": int(asked.results[0]),
        "ok": bool(answers.right[0]),
    }


def _prompt(calculator: Calculator) -> None:
    """Ask and answer until the input ends. What cannot be answered is said, and the next one asked for."""
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401 - gives input() a history and editing

    asking = sys.stdin is not None and sys.stdin.isatty()
    while True:
        try:
            text = input("> " if asking else "").strip()
        except EOFError:
            if asking:
                typer.echo()
            return
        if text in ("quit", "exit"):
            return
        if not text:
            continue
        try:
            typer.echo(calculator(*parsed(text)).line(0))
        except UsageError as error:
            typer.echo(f"error: {error}", err=True)
