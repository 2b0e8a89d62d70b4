"""What the guide to TT-matrices and shared cores shows is true."""

import torch
from tests.docs.pages import Shown, text_of

PAGE = "docs/sharing.md"
TEXT = " ".join(text_of(PAGE).split())


def test_sizes_and_notes(shown: Shown) -> None:
    (first,), (second,) = shown["conversion"].converted, shown["more"].converted
    assert (first.parameters_after, second.parameters_after) == (2304, 282624)
    assert "keeps 2304 of 1048576 parameters, at rank 64 it keeps 282624" in TEXT
    cheap, dear = shown["notes"]
    assert cheap == "its contraction takes 0.22x the multiplications of the dense layer"
    assert "takes 0.22x the multiplications of the dense layer" in TEXT
    assert dear.startswith("no faster than dense: contracting its cores takes 33.5x the multiplications")
    assert "takes 33.5x as many" in TEXT


def test_a_shared_core(shown: Shown) -> None:
    shared = shown["shared"]
    assert (shared.parameters, shared.parameters_dense) == (10240, 49152)
    assert "have 10240 parameters in their weights instead of 49152" in TEXT
    assert shared.errors == (0.0,) * 12
    torch.testing.assert_close(shown["deep"](shown["x"]), shown["before"])
    assert shown["shared_cores"](shown["deep"]) == ()
