from dataclasses import dataclass

import pytest

from rankfold import OptionError
from rankfold._registry import Registry


@dataclass(frozen=True)
class Fruit:
    name: str


def test_entries_by_name_in_order() -> None:
    registry = Registry("fruit", Fruit("pear"), Fruit("apple"))
    registry.add(Fruit("fig"))
    assert list(registry) == ["pear", "apple", "fig"]
    assert registry["apple"] == Fruit("apple")
    assert len(registry) == 3
    assert "fig" in registry
    assert "plum" not in registry


def test_unknown_names_list_what_is_known() -> None:
    with pytest.raises(OptionError, match="fruit: got 'plum', known are apple, pear; choose one of these"):
        Registry("fruit", Fruit("pear"), Fruit("apple"))["plum"]


def test_names_are_taken_once() -> None:
    registry = Registry("fruit", Fruit("pear"))
    with pytest.raises(OptionError, match="'pear' is registered already"):
        registry.add(Fruit("pear"))
    assert len(registry) == 1


def test_reads_as_a_list_of_names() -> None:
    assert repr(Registry("fruit", Fruit("pear"), Fruit("apple"))) == "<Registry, fruit: apple, pear>"
    assert repr(Registry[Fruit]("fruit")) == "<Registry, fruit: empty>"
