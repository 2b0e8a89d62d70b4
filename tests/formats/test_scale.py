import pytest
import torch

from rankfold.formats._scale import scaled, shifted


@pytest.mark.parametrize("number", [5e-324, 1e-310, 1e-150, 0.3, 1.0, 2.0, 1e150, 1.7e308])
def test_split_and_put_together(number: float) -> None:
    tensor = torch.tensor([[number, 0.0], [-number / 2, 0.0]], dtype=torch.float64)
    work, exponent = scaled(tensor)
    assert 2.0**-80 <= work.abs().amax() < 2.0  # subnormal numbers come as near to 1 as they can
    assert torch.equal(shifted(work, exponent), tensor)
    work, exponents = scaled(tensor, columns=True)
    assert exponents[0] == exponent
    assert exponents[1] == -torch.inf
    assert torch.equal(shifted(work, exponents), tensor)


def test_powers_out_of_range() -> None:
    large, small = torch.tensor([2.0**1000, 2.0**-1000], dtype=torch.float64)
    far = torch.tensor([-1500.0, 1500.0, 9000.0, -9000.0], dtype=torch.float64)
    assert shifted(large, far[0]) == 2.0**-500
    assert shifted(small, far[1]) == 2.0**500
    one = torch.ones((), dtype=torch.float64)
    assert shifted(0 * one, far[2]) == 0
    assert shifted(one, far[2]) == torch.inf
    assert shifted(one, far[3]) == 0


def test_empty() -> None:
    assert scaled(torch.ones(0, 2))[1] == -torch.inf
    assert scaled(torch.ones(0, 2), columns=True)[1].tolist() == [-torch.inf] * 2
    assert scaled(torch.ones(2, 0), columns=True)[1].shape == (0,)
