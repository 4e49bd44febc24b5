"""Results of the NALU tasks for people at a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape

from graphsim.report.terminal import new_table


def print_results(console: Console, results: Mapping[str, Any]) -> None:
    """A row per model, with what was published beside it; what is reproduced and what is not.

    Args:
        results: as in ``results.json`` of :func:`graphsim.zoo.nalu.run.run_task`.
    """
    names = list(results["scores"])
    published = {(one["model"], one["score"]): one["value"] for one in results["published"]}
    stated = [name for name in names if any(score == name for _, score in published)]
    columns = [name.replace("_", " ") for name in names]
    beside = [f"published {name.replace('_', ' ')}" for name in stated]
    table = new_table("model", *columns, *beside, "neurons outside", right=(*columns, *beside, "neurons outside"))
    for row in results["rows"]:
        found = [said(row["scores"][name]) for name in names]
        theirs = [said(published[row["model"], name]) if (row["model"], name) in published else "" for name in stated]
        outside = row["check"]["outside"]
        table.add_row(
            escape(row["model"]),
            *found,
            *(value or "not stated here" for value in theirs),
            f"{outside:,} of {row['check']['values']:,}",
        )
    console.print(table)
    for name, meaning in results["scores"].items():
        console.print(f"{name.replace('_', ' ')}: {meaning}", markup=False, soft_wrap=True)
    if results["beside"]:
        sources = ", ".join(dict.fromkeys(one["source"] for one in results["published"]))
        by = f" ({sources})" if sources else ""
        console.print(f"published: {results['beside']}{by}", markup=False, soft_wrap=True)
    for claim in results["claims"]:
        verdict = "reproduced" if claim["holds"] else "not reproduced"
        console.print(f"{verdict}: {claim['text']}", markup=False, soft_wrap=True)
    for difference in results["differs"]:
        console.print(f"not as published: {difference}", markup=False, soft_wrap=True)


def said(value: float | None) -> str:
    """A score in four digits; what is not a number as such."""
    return "not a number" if value is None else f"{value:.4g}"
