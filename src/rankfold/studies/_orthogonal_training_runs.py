"""One training of the study of orthogonal training: a small network of convolutions, its neurons trained or turned."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rankfold._errors import NonFiniteError, RankError
from rankfold.convert import orthogonalize
from rankfold.data import batches
from rankfold.layers import merge_orthogonal, orthogonal_matrices, orthogonal_weights, redraw_blocks
from rankfold.linalg import hyperspherical_energy, orthonormality_defect
from rankfold.studies._image_parts import image_parts
from rankfold.studies._records import Case, Record
from rankfold.studies._study import Setting
from rankfold.training import OrthogonalDescent, evaluate, orthogonality_penalty

__all__ = ["METHODS", "Method", "network", "train"]

_MOMENTUM = 0.9
_PENALTY = 0.1  # the authors' code
_BLOCK = 0.25  # likewise
_SIZES = {
    "digits": 8,
    "fashion_mnist": 14,
}  # pixels a side that images are averaged to, for speed; our choice


@dataclass(frozen=True, slots=True)
class Method:
    """How the convolutions of the network are trained.

    Arguments:
        title: in tables and figures.
        map: of :func:`rankfold.convert.orthogonalize`, or None where nothing is turned.
        frozen: the convolutions stay as they are.
        block: share of the coordinates that is turned in an epoch.
        penalty: factor of the penalty on what is not orthogonal.
        descent: the orthogonal matrices are trained by :class:`rankfold.training.OrthogonalDescent`.
        exact: the matrices are orthogonal to rounding all the time.
    """

    title: str
    map: str | None = None
    frozen: bool = False
    block: float | None = None
    penalty: float = 0.0
    descent: bool = False
    exact: bool = False


METHODS: dict[str, Method] = {
    "sgd": Method("plain SGD"),
    "frozen": Method("convolutions left random", frozen=True),
    "cayley": Method("Cayley", "cayley", exact=True),
    "householder": Method("Householder", "householder", exact=True),
    "loewdin": Method("Löwdin", "loewdin", exact=True),
    "gram_schmidt": Method("Gram-Schmidt", "gram_schmidt", exact=True),
    "stochastic": Method("Cayley, a quarter at a time", "cayley", block=_BLOCK, exact=True),
    "descent": Method("descent on the group, 2 iterations", "direct", descent=True),
    "penalty": Method("penalty", "direct", penalty=_PENALTY),
}


def network(channels: int, classes: int) -> nn.Sequential:
    """Three convolutions of 3x3, each with batch normalisation, and a linear classifier of the means.

    Neurons are Gaussian, as the paper has them. Initial values come from torch's global generator.
    """
    parts: list[nn.Module] = []
    for number, inputs in enumerate((1, channels, channels)):
        convolution = nn.Conv2d(inputs, channels, 3, padding=1, bias=False)
        nn.init.kaiming_normal_(convolution.weight)
        parts += [convolution, nn.BatchNorm2d(channels), nn.ReLU()]
        parts += [nn.MaxPool2d(2)] if number < 2 else []
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))


def train(case: Case, setting: Setting) -> Record:
    """Train one network by one method at one learning rate and measure it.

    Arguments:
        case: data, images, method, rate, epochs, batch size, channels, seed.
        setting: where.

    Returns:
        Shares of right answers on what was trained on, held out and tested; the largest relative change of the
        energy over convolutions and powers 1 and 2; the largest defect of an orthogonal matrix; the largest change
        of an output by merging. Where the training broke down: guesses, zero held out, None for the rest.
    """
    method = METHODS[case["method"]]
    name = case["data"]
    data = image_parts(
        name, case["images"], case["held out images"], _SIZES[name], setting.data_dir, setting.device
    )
    torch.manual_seed(case["seed"])
    model = network(case["channels"], data.classes).to(setting.device)
    before = list(_energies(model))
    generator = torch.Generator().manual_seed(case["seed"])
    broken = {"train": 1 / data.classes, "held out": 0.0, "test": 1 / data.classes}
    broken |= {"energy change": None, "defect": None, "merged": None}
    try:
        _fit(model, method, case, data.train, generator)
        matrices = orthogonal_matrices(model).values()
        defects = [float(orthonormality_defect(matrix.detach())) for matrix in matrices]
        turned = _outputs(model, data.test[0])
        merged = _outputs(merge_orthogonal(model), data.test[0])
        changes = [abs(one / two - 1) for one, two in zip(_energies(model), before, strict=True)]
    except (NonFiniteError, RankError):
        return broken
    if not bool(merged.isfinite().all()):
        return broken
    return {
        "train": evaluate(model, *data.train)[1],
        "held out": evaluate(model, *data.held_out)[1],
        "test": evaluate(model, *data.test)[1],
        "energy change": max(changes),
        "defect": max(defects, default=None),
        "merged": float((merged - turned).abs().max()),
    }


def _fit(
    model: nn.Sequential,
    method: Method,
    case: Case,
    part: tuple[Tensor, Tensor],
    generator: torch.Generator,
) -> None:
    optimizers = _optimizers(model, method, case["rate"], generator)
    schedules = [torch.optim.lr_scheduler.CosineAnnealingLR(one, case["epochs"]) for one in optimizers]
    for _ in range(case["epochs"]):
        for x, y in batches(*part, case["batch size"], generator=generator):
            for one in optimizers:
                one.zero_grad()
            loss = F.cross_entropy(model(x), y)
            if method.penalty:
                loss = loss + method.penalty * orthogonality_penalty(model)
            loss.backward()
            for one in optimizers:
                one.step()
        for schedule in schedules:
            schedule.step()
        if method.block is not None:
            redraw_blocks(model, generator=generator, optimizer=optimizers[0])


def _optimizers(
    model: nn.Sequential, method: Method, rate: float, generator: torch.Generator
) -> list[torch.optim.Optimizer]:
    """Momentum at the same rate for all there is to train; on the group where the method says so."""
    if method.map is not None:
        orthogonalize(model, method.map, include=nn.Conv2d, block=method.block, generator=generator)
    if method.frozen:
        for layer in _convolutions(model):
            layer.weight.requires_grad_(False)
    rotations = [free for *_, free in orthogonal_weights(model)] if method.descent else []
    known = {id(free) for free in rotations}
    others = [p for p in model.parameters() if p.requires_grad and id(p) not in known]
    optimizers: list[torch.optim.Optimizer] = [torch.optim.SGD(others, lr=rate, momentum=_MOMENTUM)]
    return (
        [*optimizers, OrthogonalDescent(rotations, lr=rate, momentum=_MOMENTUM)] if rotations else optimizers
    )


def _convolutions(model: nn.Sequential) -> Iterator[nn.Conv2d]:
    return (layer for layer in model if isinstance(layer, nn.Conv2d))


def _energies(model: nn.Sequential) -> Iterator[float]:
    for layer in _convolutions(model):
        for power in (1, 2):
            yield float(hyperspherical_energy(layer.weight.detach().flatten(1), power))


@torch.no_grad()
def _outputs(model: nn.Module, inputs: Tensor) -> Tensor:
    model.eval()
    return model(inputs)
