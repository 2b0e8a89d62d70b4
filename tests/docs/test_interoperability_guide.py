"""The guide to other packages: its blocks run with them, and its figures are those they give."""

import re
import warnings

import pytest
import torch
from tests.docs.pages import Shown, text_of

from rankfold import CP
from rankfold.layers import Conv2d

PAGE = "docs/interoperability.md"


def test_values_and_layers(shown: Shown) -> None:
    assert isinstance(shown["ours"], CP)
    assert shown["ours"].rank == 3
    assert type(shown["again"]).__name__ == "CPTensor"
    assert shown["difference"] < 1e-3
    assert type(shown["layer"]) is Conv2d
    images = shown["images"]
    tensorly = pytest.importorskip("tensorly")
    tensorly.set_backend("pytorch")  # as tensorly-torch does when it is imported, and other tests take back
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.testing.assert_close(shown["layer"](images), shown["back"](images), rtol=1e-4, atol=1e-4)


def test_sizes_and_errors_of_quantised_networks(shown: Shown) -> None:
    rows = re.findall(
        r"^\| (dense|folded), ([\w ]+) \| ([\d,]+) \| (?:(\d+) %)? ?\|$", text_of(PAGE), re.MULTILINE
    )
    assert len(rows) == 4
    for kind, how, size, percent in rows:
        name = kind if how == "float32" else how
        assert shown["sizes"][name] == pytest.approx(int(size.replace(",", "")), rel=0.01)
        if percent:
            assert 100 * shown["errors"][name] == pytest.approx(int(percent), abs=0.6)
    assert type(shown["small"][0][0].weight).__name__ == "Int8Tensor"


def test_pipelines(shown: Shown) -> None:
    assert shown["accuracy"] > 0.8
    assert shown["search"].best_params_ == {"tuckerdecomposer__ranks": (20, 6, 6)}
    assert list(shown["names"][:2]) == ["tuckerdecomposer0", "tuckerdecomposer1"]
