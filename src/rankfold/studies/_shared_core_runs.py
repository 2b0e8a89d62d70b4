"""One training of the study of shared cores: a residual network whose layers share all, a core, or nothing."""

from collections.abc import Callable
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rankfold.data import batches
from rankfold.formats import core_shapes, full_bonds
from rankfold.layers import TTMatrixLinear
from rankfold.sharing import share_cores
from rankfold.studies._digit_parts import digit_parts
from rankfold.studies._records import Case, Record
from rankfold.studies._study import Setting
from rankfold.training import evaluate

__all__ = ["KINDS", "ResidualNetwork", "network", "train"]

_WIDTH, _CLASSES = 64, 10
# Related work's sizes: five cores, of which the middle one holds 4096 of 4640 numbers.
_SIZES = (2, 2, 4, 2, 2)
_FULL = 16  # the largest of their full bonds 4, 16, 16, 4
_MOMENTUM = 0.9


class ResidualNetwork(nn.Module):
    """``x + relu(W LN(x) + b)``, some times over, and a linear classifier.

    Arguments:
        layers: of each block; one may come several times.
        norms: likewise.
    """

    def __init__(self, layers: list[nn.Module], norms: list[nn.Module]) -> None:
        super().__init__()
        self.layers, self.norms = nn.ModuleList(layers), nn.ModuleList(norms)
        self.head = nn.Linear(_WIDTH, _CLASSES)

    def forward(self, inputs: Tensor) -> Tensor:
        """Map images ``(N, 8, 8)`` to logits."""
        hidden = inputs.flatten(1)
        for layer, norm in zip(self.layers, self.norms, strict=True):
            hidden = hidden + F.relu(layer(norm(hidden)))
        return self.head(hidden)


def _all(depth: int) -> ResidualNetwork:
    layer, norm = nn.Linear(_WIDTH, _WIDTH), nn.LayerNorm(_WIDTH)
    matrix = TTMatrixLinear.from_dense(layer, rank=_FULL, out_sizes=_SIZES, in_sizes=_SIZES)
    return ResidualNetwork([matrix] * depth, [norm] * depth)


def _central(depth: int) -> ResidualNetwork:
    """The same start as of :func:`_all`: every layer is a copy of one."""
    first = nn.Linear(_WIDTH, _WIDTH)
    layers: list[nn.Module] = [first]
    for _ in range(depth - 1):
        with torch.random.fork_rng(devices=[]):
            layers.append(nn.Linear(_WIDTH, _WIDTH))
        layers[-1].load_state_dict(first.state_dict())
    model = ResidualNetwork(layers, [nn.LayerNorm(_WIDTH) for _ in range(depth)])
    share_cores(model, [f"layers.{k}" for k in range(depth)], out_sizes=_SIZES, in_sizes=_SIZES)
    return model


def _unshared(depth: int, rank: int) -> ResidualNetwork:
    layers: list[nn.Module] = [
        TTMatrixLinear.from_dense(
            nn.Linear(_WIDTH, _WIDTH), rank=rank, out_sizes=_SIZES, in_sizes=_SIZES, rescale=True
        )
        for _ in range(depth)
    ]
    return ResidualNetwork(layers, [nn.LayerNorm(_WIDTH) for _ in range(depth)])


def _small(depth: int) -> ResidualNetwork:
    """Layers of their own at the largest bonds at which the network is no larger than one with a shared core."""
    full = _numbers(_FULL)
    most = full[2] + depth * (sum(full) - full[2])
    return _unshared(depth, max(rank for rank in range(1, _FULL) if depth * sum(_numbers(rank)) <= most))


def _numbers(rank: int) -> list[int]:
    """Of each core of a layer whose bonds are no larger than this."""
    bonds = [min(rank, bond) for bond in full_bonds(_SIZES, _SIZES)]
    return [prod(shape) for shape in core_shapes(_SIZES, _SIZES, bonds)]


#: How the layers of a network share, by name: words for tables, and what builds it from a depth.
KINDS: dict[str, tuple[str, Callable[[int], ResidualNetwork]]] = {
    "all": ("all shared", _all),
    "central": ("central core shared", _central),
    "none": ("nothing shared", lambda depth: _unshared(depth, _FULL)),
    "small": ("nothing shared, lower bonds", _small),
}


def network(kind: str, depth: int, seed: int) -> ResidualNetwork:
    """A network before training.

    Arguments:
        kind: a name in :data:`KINDS`.
        depth: number of blocks.
        seed: of the initial values.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return KINDS[kind][1](depth)


def train(case: Case, setting: Setting) -> Record:
    """Train one network and measure it.

    Arguments:
        case: kind, depth, rate, epochs, batch size, seed.
        setting: where.

    Returns:
        Parameters, shares of right answers on what was held out and tested, and by how much the outputs before training
        differ from those of the network that shares all, relative to them.
    """
    data = digit_parts(setting.data_dir)
    model = network(case["kind"], case["depth"], case["seed"])
    with torch.no_grad():
        expected = network("all", case["depth"], case["seed"])(data.test[0])
        distance = float((model(data.test[0]) - expected).norm() / expected.norm())
    model.to(setting.device)
    optimizer = torch.optim.SGD(model.parameters(), lr=case["rate"], momentum=_MOMENTUM)
    generator = torch.Generator().manual_seed(case["seed"])
    for _ in range(case["epochs"]):
        for x, y in batches(*data.train, case["batch size"], generator=generator):
            optimizer.zero_grad()
            F.cross_entropy(model(x.to(setting.device)), y.to(setting.device)).backward()
            optimizer.step()
    model.eval()
    held_out, test = (
        evaluate(model, x.to(setting.device), y.to(setting.device))[1] for x, y in (data.held_out, data.test)
    )
    return {"parameters": _parameters(model), "held out": held_out, "test": test, "start": distance}


def _parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
