"""What every initialiser of values in a format keeps."""

from math import prod, sqrt
from typing import ClassVar

import pytest
import torch

from rankfold.formats import CP, TT, Format, TTMatrix, Tucker
from rankfold.init import Initializer

__all__ = ["InitializerContract", "example_values"]

_STD = 0.02
# Draws whose mean squares are averaged. One of a few small tensors scatters: its dense entries are not independent.
_DRAWS = 200


def example_values() -> dict[str, Format]:
    """A value of every format and kind of shape whose numbers do not matter; all float64."""

    def ones(*shape: int) -> torch.Tensor:
        return torch.ones(shape, dtype=torch.float64)

    return {
        "matrix": Tucker(ones(4, 4), (ones(12, 4), ones(9, 4))),
        "tucker": Tucker(ones(4, 3, 2), (ones(8, 4), ones(7, 3), ones(3, 2))),
        "tucker of some modes": Tucker(ones(4, 3, 3, 3), (ones(8, 4), ones(7, 3), None, None)),
        "cp": CP(ones(5), (ones(8, 5), ones(7, 5), ones(3, 5))),
        "cp of a matrix": CP(ones(5), (ones(12, 5), ones(9, 5))),
        "tt": TT((ones(1, 6, 3), ones(3, 5, 4), ones(4, 4, 1))),
        "tt of a matrix": TT((ones(1, 12, 5), ones(5, 9, 1))),
        "tt_matrix": TTMatrix((ones(1, 3, 2, 4), ones(4, 2, 3, 3), ones(3, 2, 2, 1))),
    }


class InitializerContract:
    """Tests of one initialiser; a subclass named ``Test...`` sets ``initializer`` and inherits them."""

    initializer: ClassVar[Initializer]
    #: Whether the mean square of the dense entries is that of the dense weight, over many draws; a spectral start keeps
    #: only the part that its ranks hold.
    matched: ClassVar[bool] = True

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "name" in metafunc.fixturenames:
            metafunc.parametrize("name", example_values())

    def draw(self, like: Format, seed: int, *, std: float = _STD, normal: bool = False) -> Format:
        """One draw."""
        return self.initializer.build(like, std, torch.Generator().manual_seed(seed), normal)

    def test_same_format_shape_and_ranks(self, name: str) -> None:
        like = example_values()[name]
        value = self.draw(like, 0)
        assert type(value) is type(like)
        assert (value.shape, value.ranks, value.dtype) == (like.shape, like.ranks, torch.float64)
        assert [tensor.shape for tensor in value.tensors] == [tensor.shape for tensor in like.tensors]
        assert all(bool(tensor.isfinite().all()) for tensor in value.tensors)

    def test_seeds(self, name: str) -> None:
        like = example_values()[name]
        first, again, other = (self.draw(like, seed).to_dense() for seed in (0, 0, 1))
        assert torch.equal(first, again)
        assert not torch.equal(first, other)
        torch.manual_seed(0)
        first = self.initializer.build(like, _STD, None, False).to_dense()
        torch.manual_seed(0)
        assert torch.equal(self.initializer.build(like, _STD, None, False).to_dense(), first)

    def test_the_numbers_before_do_not_matter(self, name: str) -> None:
        like = example_values()[name]
        other = like._rebuilt([torch.full_like(tensor, float("nan")) for tensor in like.tensors])
        assert torch.equal(self.draw(like, 0).to_dense(), self.draw(other, 0).to_dense())

    @pytest.mark.parametrize("normal", [False, True])
    def test_deviation_of_the_dense_entries(self, name: str, normal: bool) -> None:
        """Of trains tensorly-torch asks for 0.02 and gets 0.0038: it multiplies by the ranks instead of their roots."""
        like = example_values()[name]
        draws = _DRAWS if self.matched else 20
        squares = [float(self.draw(like, seed, normal=normal).norm()) ** 2 for seed in range(draws)]
        reached = sqrt(sum(squares) / draws / prod(like.shape))
        if self.matched:
            assert abs(reached / _STD - 1) <= 0.1
        else:
            assert 0.3 * _STD <= reached <= _STD

    def test_it_scales_with_the_deviation(self, name: str) -> None:
        like = example_values()[name]
        small, large = self.draw(like, 0).to_dense(), self.draw(like, 0, std=100 * _STD).to_dense()
        torch.testing.assert_close(large, 100 * small, rtol=1e-6, atol=1e-8)

    def test_the_signs_are_even(self, name: str) -> None:
        like = example_values()[name]
        mean = torch.stack([self.draw(like, seed).to_dense() for seed in range(20)]).mean()
        assert abs(float(mean)) <= 0.3 * _STD
