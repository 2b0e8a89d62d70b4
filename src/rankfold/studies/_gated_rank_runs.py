"""The cases of the study of gates on ranks: the penalty by itself, a noisy matrix, a small network.

Axes: m rows, n columns, r rank of the target, R most terms of a start.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from rankfold import CP, EVBMF, TT, Tucker, factorize
from rankfold.formats import Format
from rankfold.init import spectral
from rankfold.layers import Linear, format_sites, write_weight
from rankfold.regularize import GatedRank
from rankfold.studies._digits import PIXELS, digits, fit, perceptron
from rankfold.studies._records import Case, Record
from rankfold.studies._study import Setting
from rankfold.training import evaluate

__all__ = ["NORM", "RANK", "RUNS", "noisy_matrix"]

RANK = 2
NORM = 10.0  # of the clean matrix
_SIZES = (20, 15)
_TERMS = 10
_NOISE = 0.15
_NUMERICAL = 1e-6  # below this share of the largest a singular value counts as zero
_MOMENTUM = 0.9


def noisy_matrix(seed: int) -> tuple[Tensor, Tensor]:
    """A matrix of rank 2 and norm 10, and the same with noise of 15 % of that norm; float64 ``(20, 15)``."""
    generator = torch.Generator().manual_seed(seed)
    left, right, noise = (
        torch.randn(*shape, generator=generator, dtype=torch.float64)
        for shape in ((_SIZES[0], RANK), (RANK, _SIZES[1]), _SIZES)
    )
    clean = left @ right
    clean = NORM * clean / clean.norm()
    return clean, clean + _NOISE * NORM * noise / noise.norm()


def _start(form: str, seed: int) -> nn.Module:
    """A linear layer of rank 10 in a format."""
    generator = torch.Generator().manual_seed(1000 + seed)
    rows, columns = _SIZES

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64) / 2

    if form == "tucker":
        layer = Linear(columns, rows, bias=False, rank=_TERMS, dtype=torch.float64)
        factors = tuple(torch.linalg.qr(normal(size, _TERMS)).Q for size in _SIZES)
        layer.assign(Tucker(normal(_TERMS, _TERMS), factors))
        return layer
    plain = nn.Linear(columns, rows, bias=False, dtype=torch.float64)
    value: Format = TT((normal(1, rows, _TERMS), normal(_TERMS, columns, 1)))
    if form == "cp":
        weights = torch.ones(_TERMS, dtype=torch.float64)
        value = CP(weights, (normal(rows, _TERMS), normal(columns, _TERMS)))
    return plain if form == "dense" else write_weight(plain, value)


def _recovered(case: Case, setting: Setting) -> Record:
    """Gradient descent on ``||W - A||² / 2`` plus the penalty.

    Near a term of size s, which D balanced parts share, the loss curves by ``D s^(2 - 2/D)``: the learning rate is
    half of the inverse. A term without a gradient falls by ``exp(-2 strength lr)`` a step at every depth; the steps
    are so many that this is ``exp(-30)`` for strengths from 0.5 on.
    """
    depth, strength = case["depth"], case["strength"]
    clean, noisy = noisy_matrix(case["seed"])
    layer = _start(case["form"], case["seed"])
    if case["form"] == "dense":  # one part: weight decay of the matrix itself
        penalty: Callable[[], Tensor] = lambda: strength * _weight(layer).square().sum()  # noqa: E731
    else:
        gates = GatedRank(layer, strength, depth=depth)
        assert gates.depths == {"": depth}
        penalty = gates.penalty
    rate = 0.5 / (depth * NORM ** (2 - 2 / depth) + 2 * strength)
    steps = math.ceil(30 / (2 * max(strength, 0.5) * rate))
    optimizer = torch.optim.SGD(layer.parameters(), lr=rate)
    for _ in range(steps):
        optimizer.zero_grad()
        (0.5 * (_weight(layer) - noisy).square().sum() + penalty()).backward()
        optimizer.step()
    found = _weight(layer).detach()
    return {"rank": _rank(found), "error": _error(found, clean), "steps": steps}


def _weight(layer: nn.Module) -> Tensor:
    weight = layer.weight
    assert isinstance(weight, Tensor)
    return weight


def _rank(matrix: Tensor) -> int:
    spectrum = torch.linalg.svdvals(matrix)
    return int((spectrum > _NUMERICAL * spectrum[0]).sum())


def _error(matrix: Tensor, clean: Tensor) -> float:
    return float((matrix - clean).norm() / clean.norm())


def _without_training(case: Case, setting: Setting) -> Record:
    """What one SVD gives: cut to the true rank, with the best threshold there is, at the rank of variational Bayes."""
    clean, noisy = noisy_matrix(case["seed"])
    left, values, right = torch.linalg.svd(noisy, full_matrices=False)

    def error(kept: Tensor) -> float:
        return _error(left * kept @ right, clean)

    layer = nn.Linear(_SIZES[1], _SIZES[0], bias=False, dtype=torch.float64)
    layer.weight.data = noisy.clone()
    (chosen,) = (row.ranks for row in factorize(nn.Sequential(layer), EVBMF()))
    rank = min(chosen) if chosen else len(values)
    thresholds = torch.linspace(0, float(values[0]), 400, dtype=torch.float64)
    return {
        "unchanged": error(values),
        "true rank": error(torch.where(torch.arange(len(values)) < RANK, values, 0.0)),
        "soft threshold": min(error((values - float(t)).clamp_min(0)) for t in thresholds),
        "evbmf rank": rank,
        "evbmf": error(torch.where(torch.arange(len(values)) < rank, values, 0.0)),
    }


def _penalty(case: Case, setting: Setting) -> Record:
    """At parts of equal size the penalty is ``Σ σ^(2/D)``; for others it is at least that."""
    depth, generator = case["depth"], torch.Generator().manual_seed(case["seed"])
    spectrum = torch.tensor([5.0, 2.0, 1.0, 0.1], dtype=torch.float64)
    rows, columns = (
        torch.linalg.qr(torch.randn(n, 4, generator=generator, dtype=torch.float64)).Q for n in _SIZES
    )
    root = spectrum ** (1 / depth)
    layer = nn.Linear(_SIZES[1], _SIZES[0], bias=False, dtype=torch.float64)
    write_weight(layer, TT(((rows * root)[None], (root[:, None] * columns.mT)[:, :, None])))
    gates = GatedRank(layer, 1.0, depth=depth)
    (site,) = format_sites(layer)
    for parameter in site.parameters:
        if parameter.shape == (depth - 2, 4):
            parameter.data = root.expand(depth - 2, 4).clone()
    least = float((spectrum ** (2 / depth)).sum())
    balanced = abs(float(gates.penalty().detach()) / least - 1)
    ratios = []
    for _ in range(case["draws"]):
        for parameter in site.parameters:
            parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        values = torch.linalg.svdvals(layer.weight.detach())[:4]
        ratios.append(float(gates.penalty().detach() / (values ** (2 / depth)).sum()))
    return {"balanced": balanced, "least ratio": min(ratios)}


def _network(case: Case, setting: Setting) -> Record:
    """A perceptron on digits, its two hidden matrices products of rank 16 with gates, or of a fixed rank without."""
    data = digits(setting.data_dir)
    torch.manual_seed(case["seed"])
    model = perceptron(PIXELS, 64, 64, 10)
    spectral(model, "tt", case["rank"], include=["0", "2"])
    gates = None if case["depth"] is None else GatedRank(model, case["strength"], depth=case["depth"])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=_MOMENTUM)
    finite = fit(
        model,
        data.train,
        optimizer,
        epochs=case["epochs"],
        batch_size=64,
        seed=case["seed"],
        penalty=None if gates is None else gates.penalty,
    )
    before = evaluate(model, *data.test)[1] if finite else 0.1
    if gates is not None and finite:
        gates.collapse(1e-2)
    values = [site.value for site in format_sites(model)]
    return {
        "ranks": [max(value.ranks) for value in values],
        "parameters": sum(value.num_parameters for value in values),
        "gated": 100 * before,
        "accuracy": 100 * (evaluate(model, *data.test)[1] if finite else 0.1),
    }


RUNS: dict[str, Callable[[Case, Setting], Record]] = {
    "penalty": _penalty,
    "matrix": _recovered,
    "without training": _without_training,
    "network": _network,
}
