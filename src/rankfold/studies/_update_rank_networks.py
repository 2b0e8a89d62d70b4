"""Whether the rank of dense updates tells the ranks that TDLRT finds, on a small network of digits."""

import re
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import nn

from rankfold.adapters import attach
from rankfold.convert import factorize, factorized_layers
from rankfold.data import batches
from rankfold.diagnostics import UpdateRank, suggested_ranks, weight_spectra
from rankfold.models import MLP
from rankfold.ranks import Fraction
from rankfold.studies._image_parts import ImageParts, image_parts
from rankfold.studies._records import Case, Record
from rankfold.studies._study import Setting
from rankfold.studies._update_rank_cut import with_cut_updates
from rankfold.training import TDLRT, evaluate, set_ranks

__all__ = ["LAYERS", "compare_ranks"]

_WIDTHS, _PIXELS = (64, 128, 128, 10), 8
_RATE, _MOMENTUM, _BATCH, _CORE_STEPS = 0.05, 0.9, 64, 5  # choices of ours
LAYERS = ("layers.0", "layers.1", "layers.2")


def compare_ranks(case: Case, setting: Setting) -> Record:
    """Train the same start densely, by TDLRT from full ranks, and twice at the ranks that the dense updates suggest.

    Once these are ranks of adapters on the frozen start, once of the weights themselves. The dense updates are also cut
    to these ranks after training.

    Arguments:
        case: tolerance of TDLRT, epochs, images, seed. Ranks are suggested that keep ``1 - tolerance²`` of the squared
            norm, which is what TDLRT keeps.
        setting: where.

    Returns:
        By layer the rank of the dense update, of the dense weight, and of TDLRT's weight; test accuracies and trained
        parameters.
    """
    data = image_parts("digits", case["images"], 0, _PIXELS, setting.data_dir, setting.device)
    energy = 1 - case["tolerance"] ** 2
    dense = _network(case, setting)
    update, start = UpdateRank(dense), {name: value.clone() for name, value in dense.state_dict().items()}
    _fit(dense, torch.optim.SGD(dense.parameters(), lr=_RATE, momentum=_MOMENTUM), data, case)
    suggested = suggested_ranks(update.spectra(), energy)
    adaptive = _network(case, setting)
    factorize(adaptive, Fraction(1.0))
    _fit(adaptive, _tdlrt(adaptive, tolerance=case["tolerance"]), data, case)
    fixed = _at_ranks(_network(case, setting), suggested)
    _fit(fixed, _tdlrt(fixed, integrator="fixed"), data, case)
    adapted = _with_adapters(_network(case, setting), suggested, case["seed"])
    _fit(adapted, _tdlrt(adapted, integrator="fixed"), data, case)
    cut = with_cut_updates(dense, start, suggested)
    models = {"dense": dense, "cut": cut, "TDLRT": adaptive, "adapters": adapted, "low rank": fixed}
    return {
        "suggested": suggested,
        "weight": suggested_ranks(weight_spectra(dense), energy),
        "found": {name: layer.ranks[0] for name, layer in factorized_layers(adaptive)},
        "accuracy": {name: evaluate(model, *data.test)[1] for name, model in models.items()},
        "parameters": {name: _trained(model) for name, model in models.items()},
    }


def _network(case: Case, setting: Setting) -> MLP:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(case["seed"])
        return MLP(_WIDTHS).to(setting.device)


def _at_ranks(model: MLP, ranks: Mapping[str, int]) -> MLP:
    for name, rank in ranks.items():
        factorize(model, rank, include=re.escape(name), rescale=True)
    return model


def _with_adapters(model: MLP, ranks: Mapping[str, int], seed: int) -> MLP:
    """Adapters on the frozen weights; biases are trained as in the others."""
    generator = torch.Generator().manual_seed(seed)
    attach(model, 1, generator=generator)
    wanted = {re.escape(f"{name}.change.layer"): rank for name, rank in ranks.items()}
    set_ranks(model, wanted, generator=generator)
    for layer in model.layers:
        layer.get_parameter("base.bias").requires_grad_()
    return model


def _trained(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def _tdlrt(model: nn.Module, **options: object) -> TDLRT:
    chosen: dict[str, object] = {"core_steps": _CORE_STEPS, "lr": _RATE, "momentum": _MOMENTUM, **options}
    return TDLRT(model, torch.optim.SGD, **chosen)  # pyright: ignore[reportArgumentType]


def _fit(model: nn.Module, optimizer: torch.optim.Optimizer, data: ImageParts, case: Case) -> None:
    generator = torch.Generator().manual_seed(case["seed"])
    for _ in range(case["epochs"]):
        for x, y in batches(*data.train, _BATCH, generator=generator):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
    if isinstance(optimizer, TDLRT):
        optimizer.truncate()
