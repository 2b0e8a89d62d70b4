"""Random values in every format, and models whose weights are stored in them."""

import torch
from torch import Tensor, nn

from rankfold.formats import CP, TT, Format, TTMatrix, Tucker
from rankfold.layers import Conv2d, Linear, TTMatrixLinear, write_weight


def _normal(seed: int, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def values(dtype: torch.dtype = torch.float64) -> dict[str, Format]:
    """One value of every format and kind of shape; factors are not orthonormal, some axes are small."""

    def normal(seed: int, *shape: int) -> Tensor:
        return _normal(seed, *shape, dtype=dtype)

    return {
        "matrix": Tucker(normal(0, 5, 6), (normal(1, 9, 5), normal(2, 8, 6))),
        "tucker": Tucker(normal(0, 5, 4, 2), (normal(1, 7, 5), normal(2, 6, 4), normal(3, 3, 2))),
        "tucker of some modes": Tucker(normal(0, 5, 4, 3, 3), (normal(1, 7, 5), normal(2, 6, 4), None, None)),
        "cp": CP(normal(0, 6), (normal(1, 7, 6), normal(2, 5, 6), normal(3, 4, 6))),
        "cp of a matrix": CP(normal(0, 6), (normal(1, 9, 6), normal(2, 8, 6))),
        "tt": TT((normal(0, 1, 5, 4), normal(1, 4, 6, 5), normal(2, 5, 7, 2), normal(3, 2, 3, 1))),
        "tt of a matrix": TT((normal(0, 1, 9, 5), normal(1, 5, 8, 1))),
        "tt_matrix": TTMatrix((normal(0, 1, 3, 2, 5), normal(1, 5, 2, 4, 4), normal(2, 4, 2, 2, 1))),
    }


def model(form: str, dtype: torch.dtype = torch.float64) -> nn.Sequential:
    """A convolution and two linear layers; the first two have weights in the format."""
    kind = {"dtype": dtype}
    if form == "tucker":
        first: nn.Module = Conv2d(3, 6, 3, padding=1, rank=3, **kind)
        second: nn.Module = Linear(6 * 16, 8, rank=5, **kind)
    elif form == "tt_matrix":
        kernel = TTMatrix((_normal(0, 1, 6, 3, 3, dtype=dtype) / 5, _normal(1, 3, 3, 3, 1, dtype=dtype)))
        first = write_weight(nn.Conv2d(3, 6, 3, padding=1, **kind), kernel)
        second = TTMatrixLinear(6 * 16, 8, rank=5, cores=2, **kind)
    else:
        first, second = nn.Conv2d(3, 6, 3, padding=1, **kind), nn.Linear(6 * 16, 8, **kind)
        for layer, seed in ((first, 0), (second, 1)):
            write_weight(layer, _random(form, tuple(layer.weight.shape), 5, seed, dtype))
    return nn.Sequential(first, nn.ReLU(), nn.Flatten(), second, nn.ReLU(), nn.Linear(8, 4, **kind))


def batch(dtype: torch.dtype = torch.float64, seed: int = 0, size: int = 24) -> tuple[Tensor, Tensor]:
    images = _normal(seed, size, 3, 4, 4, dtype=dtype)
    return images, images.flatten(1)[:, :4].argmax(1)


def _random(form: str, shape: tuple[int, ...], rank: int, seed: int, dtype: torch.dtype) -> Format:
    dense = _normal(seed, *shape, dtype=dtype) / 5
    if form == "tt":
        return TT.from_dense(dense, ranks=min(rank, 3))
    factors = tuple(_normal(seed + 1 + mode, size, rank, dtype=dtype) / 2 for mode, size in enumerate(shape))
    return CP(torch.ones(rank, dtype=dtype), factors)
