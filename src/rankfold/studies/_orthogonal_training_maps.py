"""The small experiments of the study of orthogonal training: maps, drift of the descent, blocks."""

from typing import Any

import torch
from torch import Tensor, nn

from rankfold.convert import orthogonalize
from rankfold.layers import orthogonal_weights, redraw_blocks
from rankfold.linalg import (
    ORTHOGONAL_MAPS,
    hyperspherical_energy,
    loewdin,
    newton_schulz,
    orthonormality_defect,
)
from rankfold.studies._records import Case, Record
from rankfold.training import OrthogonalDescent

__all__ = ["POWERS", "block_episode", "descent_drift", "measured_map"]

POWERS = (0, 1, 2)


def measured_map(case: Case) -> Record:
    """What one map makes of random matrices; lists with one number per draw.

    Arguments:
        case: map, size d, neurons, draws, seed.

    Returns:
        The defect in float32; the largest relative change of the energies of random neurons; the distance to the
        matrix that was given; the least distance of an eigenvalue from -1 by the bound of Cayley's map; the
        determinant; how far 30 Newton-Schulz iterations end from the polar factor.
    """
    build = ORTHOGONAL_MAPS[case["map"]].build
    record: dict[str, Any] = {
        name: []
        for name in ("defect", "energy change", "distance", "from -1", "determinant", "newton_schulz")
    }
    for number in range(case["draws"]):
        generator = torch.Generator().manual_seed(case["seed"] + number)
        matrix, neurons = (
            _normal(case["d"], case["d"], generator),
            _normal(case["neurons"], case["d"], generator),
        )
        result = build(matrix)
        skew = matrix.triu(1) - matrix.triu(1).mT
        bound = 2 / float(1 + torch.linalg.matrix_norm(skew, 2) ** 2) ** 0.5
        nearest = float((torch.linalg.eigvals(result) + 1).abs().min())
        record["defect"].append(float(orthonormality_defect(build(matrix.float()).double())))
        record["energy change"].append(_energy_change(neurons, neurons @ result.mT))
        record["distance"].append(float(torch.linalg.matrix_norm(result - matrix)))
        record["from -1"].append(nearest / bound)
        record["determinant"].append(float(torch.linalg.det(result)))
        record["newton_schulz"].append(float((newton_schulz(matrix, 30) - loewdin(matrix)).abs().max()))
    return record


def descent_drift(case: Case) -> Record:
    """How far descent to another rotation ends from the orthogonal matrices, by the iterations of its retraction.

    Arguments:
        case: iterations (None solves exactly), d, rate, steps, draws, seed.

    Returns:
        Defects and distances to the nearest rotation, one of each per draw.
    """
    defects, distances = [], []
    for number in range(case["draws"]):
        generator = torch.Generator().manual_seed(case["seed"] + number)
        target = torch.linalg.qr(_normal(case["d"], case["d"], generator)).Q
        target = torch.cat([torch.linalg.det(target) * target[:1], target[1:]])  # a rotation, as the start is
        matrix = nn.Parameter(torch.eye(case["d"], dtype=torch.float64))
        optimizer = OrthogonalDescent([matrix], case["rate"], iterations=case["iterations"])
        for _ in range(case["steps"]):
            matrix.grad = 2 * (matrix.detach() - target)  # of the squared distance
            optimizer.step()
        defects.append(float(orthonormality_defect(matrix.detach())))
        distances.append(float((matrix.detach() - target).norm()))
    return {"defect": defects, "distance": distances}


@torch.no_grad()
def block_episode(case: Case) -> Record:
    """What an episode of stochastic training changes that it must not; lists with one number per draw.

    Arguments:
        case: d, neurons, block, draws, seed.

    Returns:
        The largest changes: of a weight by turning a block by nothing, of the coordinates outside the block by
        turning it at random, and relatively of lengths and energies by that.
    """
    record: dict[str, Any] = {name: [] for name in ("no-op", "outside", "length change", "energy change")}
    for number in range(case["draws"]):
        generator = torch.Generator().manual_seed(case["seed"] + number)
        start = _normal(case["neurons"], case["d"], generator)
        layer = nn.Linear(case["d"], case["neurons"]).double()
        layer.weight.copy_(start)
        orthogonalize(layer, block=case["block"], generator=generator)
        redraw_blocks(layer, generator=generator)
        record["no-op"].append(float((layer.weight - start).abs().max()))
        ((_, _, turned, free),) = orthogonal_weights(layer)
        free.copy_(_normal(len(free), len(free), generator))
        assert turned.coordinates is not None
        outside = torch.ones(case["d"], dtype=torch.bool)
        outside[turned.coordinates] = False
        after = layer.weight.clone()
        record["outside"].append(float((after - start)[:, outside].abs().max()))
        record["length change"].append(float((after.norm(dim=1) / start.norm(dim=1) - 1).abs().max()))
        record["energy change"].append(_energy_change(start, after))
    return record


def _normal(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    return torch.randn(rows, columns, dtype=torch.float64, generator=generator)


def _energy_change(before: Tensor, after: Tensor) -> float:
    energies = [
        (hyperspherical_energy(before, power), hyperspherical_energy(after, power)) for power in POWERS
    ]
    return max(abs(float((one - two) / one)) for one, two in energies)
