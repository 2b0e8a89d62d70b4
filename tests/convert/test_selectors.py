import pytest
from torch import nn

from rankfold import Conversion, OptionError, SelectorError, factorize


def network() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(4, 6, 3), nn.ReLU(), nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8)), nn.Linear(8, 8)
    )


def names(conversion: Conversion) -> list[str]:
    return [row.name for row in conversion.converted]


@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        (None, None, ["0", "2.0", "2.1", "3"]),
        ("3", None, ["3"]),
        (r"2\..*", None, ["2.0", "2.1"]),
        (nn.Linear, None, ["2.0", "2.1", "3"]),
        (nn.Module, None, ["0", "2.0", "2.1", "3"]),
        ([nn.Conv2d, r".*\.1"], None, ["0", "2.1"]),
        (("3", "0"), None, ["0", "3"]),
        (None, "3", ["0", "2.0", "2.1"]),
        (None, nn.Conv2d, ["2.0", "2.1", "3"]),
        (nn.Linear, r"2\.0", ["2.1", "3"]),
        ("3", "3", []),
    ],
)
def test_selected_layers(include: object, exclude: object, expected: list[str]) -> None:
    model = network()
    conversion = factorize(model, 2, include=include, exclude=exclude)
    assert names(conversion) == expected
    assert len(conversion) == 4
    for row in conversion.skipped:
        assert row.reason in ("not included", "excluded")
        assert type(model.get_submodule(row.name)) in (nn.Linear, nn.Conv2d)


@pytest.mark.parametrize("argument", ["include", "exclude"])
@pytest.mark.parametrize("selector", ["1", "2", "conv", "", nn.Embedding, ["3", "4"]])
def test_a_selector_that_matches_nothing(argument: str, selector: object) -> None:
    model = network()
    with pytest.raises(SelectorError, match=rf"{argument}: .*matches none of the 4 layers.*0, 2\.0, 2\.1, 3"):
        factorize(model, 2, **{argument: selector})
    assert type(model[3]) is nn.Linear


@pytest.mark.parametrize("selector", ["(", [3], int, [None]])
def test_neither_pattern_nor_class(selector: object) -> None:
    with pytest.raises(OptionError, match="exclude: "):
        factorize(network(), 2, exclude=selector)


def test_a_pattern_of_file_names_is_told_what_to_write() -> None:
    with pytest.raises(OptionError, match=r"'\*\.1' is not a regular expression .*; write '\.\*' for any"):
        factorize(network(), 2, include="*.1")


def test_a_reused_layer_goes_by_all_its_names() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
    model.append(model[0])
    assert names(factorize(model, 2, include="2")) == ["0"]
    assert model[0] is model[2]
