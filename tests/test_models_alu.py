"""The shipped nets that calculate: their cards, and what the simulated graph makes of arithmetic."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Callable

import h5py
import numpy as np
import pytest

from graphsim.calculator import Calculator
from graphsim.compare.answers import answer
from graphsim.datasets.arithmetic import OPERATIONS, every_calculation, load_calculations
from graphsim.errors import UsageError
from graphsim.frontends.keras import lower
from graphsim.simulate.lanes import LanesEngine
from graphsim.zoo import alu_recipes, shipped
from graphsim.zoo.card import read_facts
from graphsim.zoo.recipes import RECIPES, AluRecipe

NAMES = [recipe.name for recipe in alu_recipes()]
names = pytest.mark.parametrize("name", NAMES)


def recipe_of(name: str) -> AluRecipe:
    recipe = RECIPES[name]
    assert isinstance(recipe, AluRecipe)
    return recipe


def arrays(file: h5py.Group) -> list[np.ndarray]:
    """Every float32 array in a file, by a canonical order that does not depend on names."""
    found: list[np.ndarray] = []
    collect: Callable[[str, object], None] = lambda _, item: (  # noqa: E731
        found.append(item[()]) if isinstance(item, h5py.Dataset) and item.dtype == np.float32 else None
    )
    file.visititems(collect)
    return sorted(found, key=lambda array: (array.shape, array.tobytes()))


@names
@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_digest_is_on_the_card(name: str, suffix: str) -> None:
    path = shipped(name, suffix)
    assert read_facts(path.with_suffix(".md"))[path.name] == hashlib.sha256(path.read_bytes()).hexdigest()


@names
def test_both_files_hold_the_same_weights(name: str) -> None:
    with h5py.File(shipped(name, ".h5")) as file:
        ours = arrays(file["model_weights"])
    with (
        zipfile.ZipFile(shipped(name, ".keras")) as archive,
        h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as f,
    ):
        theirs = arrays(f)
    assert [a.tobytes() for a in ours] == [b.tobytes() for b in theirs]
    assert str(sum(a.size for a in ours)) == read_facts(shipped(name).with_suffix(".md"))["parameters"]


@names
def test_the_card_says_what_was_measured(name: str) -> None:
    recipe, facts = recipe_of(name), read_facts(shipped(name).with_suffix(".md"))
    assert facts["operations"] == " ".join(recipe.valid_ops)
    assert all(f"accuracy of {operation}" in facts for operation in recipe.valid_ops)
    assert (facts["recipe"], facts["seed"]) == (recipe.name, str(recipe.seed))


def test_the_card_of_eight_bits_says_what_zero_wrong_means() -> None:
    path = shipped("alu8").with_suffix(".md")
    facts = read_facts(path)
    assert facts["wrong"] == "0 of 753,280 (all valid calculations)"
    assert float(facts["smallest margin"].split()[0]) > 0.5
    assert "a fit over the whole domain, not generalisation" in path.read_text()


def test_the_net_of_fifteen_bits_is_accurate_enough() -> None:
    facts = read_facts(shipped("alu15").with_suffix(".md"))
    accuracies = {name: float(facts[f"accuracy of {name}"].split()[0]) for name in recipe_of("alu15").valid_ops}
    assert accuracies.pop("/") >= 0.97
    assert accuracies.pop("%") >= 0.89
    assert len(accuracies) == 9
    assert min(accuracies.values()) >= 0.9995


@pytest.mark.slow
def test_the_simulated_net_of_eight_bits_has_none_of_all_753280_calculations_wrong() -> None:
    graph = lower(shipped("alu8"))
    found = answer(LanesEngine(graph), graph, every_calculation(8))
    assert len(found.found) == 753_280
    assert int(np.count_nonzero(found.found != found.calculations.results)) == 0
    assert found.is_exhaustive


@names
def test_the_simulated_net_is_as_good_as_its_card_says(name: str) -> None:
    recipe, facts = recipe_of(name), read_facts(shipped(name).with_suffix(".md"))
    graph = lower(shipped(name))
    dataset = load_calculations(recipe.bits, 100 * len(recipe.valid_ops), 7, recipe.valid_ops)
    found = answer(LanesEngine(graph), graph, dataset)
    for tally in found.tallies:
        share = float(facts[f"accuracy of {tally.operation}"].split()[0])
        # Five standard deviations of a hundred draws, and nothing wrong where nothing is on the card.
        assert tally.right >= 100 * share - 5 * (100 * share * (1 - share)) ** 0.5 - 1e-9


def test_the_calculator_takes_the_fewest_bits_that_do() -> None:
    calculate = Calculator()
    assert calculate(22, "*", 33).line(0) == "22 * 33 = 726 == 726: OK"
    assert calculate(255, ">", 3).calculations.bits == 8
    assert calculate(200, "=", 200).line(0) == "200 = 200 = 255 == 255: OK"


@pytest.mark.parametrize(
    ("calculation", "reason"),
    [
        ((5, "-", 6), "5 - 6 is negative"),
        ((5, "/", 0), "5 / 0 is undefined"),
        ((-1, "+", 0), "-1 is not an unsigned integer"),
    ],
)
def test_the_calculator_says_why_it_does_not_answer(calculation: tuple[int, str, int], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        Calculator()(*calculation)


def test_the_calculator_takes_more_bits_where_it_must() -> None:
    calculate = Calculator()
    assert calculate(31720, "/", 4697).line(0) == "31720 / 4697 = 6 == 6: OK"
    with pytest.raises(UsageError, match=r"the net of 15 bits has not learnt \*; it knows \+ - / %"):
        calculate(300, "*", 3)


def test_a_calculator_of_eight_bits_keeps_to_them() -> None:
    with pytest.raises(UsageError, match=r"256 is not an unsigned integer of 8 bits \(0 to 255\)"):
        Calculator(8)(256, "+", 1)
    with pytest.raises(UsageError, match="the shipped nets calculate with"):
        Calculator(9)


def test_a_calculator_with_a_model_of_its_own_reads_its_bits() -> None:
    own = Calculator(model=shipped("alu8"))
    assert own(9, "XOR", 12).found.tolist() == [5]
    with pytest.raises(UsageError, match="calculates with 8 bits, not 15"):
        Calculator(15, shipped("alu8"))


def test_every_operation_of_eight_bits_is_answered() -> None:
    calculate = Calculator(8)
    assert all(calculate(201, operation, 13).right.all() for operation in OPERATIONS)
