"""LeNet-5 whose factorised layers start from singular values that fall like decay^-k, and its training.

The start of Schotthöfer et al. 2022, "Low-rank lottery tickets", section 5 (their raw figures: 3 layers of rank 20,
plain SGD, learning rate 0.01, batch 128).
"""

from dataclasses import dataclass
from math import isfinite
from typing import Any

import torch
from torch import nn

from rankfold import TDLRT, NonFiniteError, Tucker, factorize
from rankfold._registry import Registry
from rankfold.convert import factorized_layers
from rankfold.data import Dataset, batches
from rankfold.formats import CP
from rankfold.models import build_model
from rankfold.studies._direct_forms import DIRECT_FORMS, Dense
from rankfold.training import Progress, evaluate, fit

__all__ = ["BATCH", "LAYERS", "RANK", "WAYS", "Way", "accuracy_curve", "decaying_network", "write_directly"]

LAYERS = ("conv1", "conv2", "linear1")
RANK = 20
BATCH = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A way to train the factored layers.

    Arguments:
        name: as in the cases of the study.
        label: for tables and figures.
        integrator: of TDLRT, or None for plain SGD.
        closure: whether TDLRT takes its two gradients from two passes.
        form: a direct form, or None for TDLRT.
    """

    name: str
    label: str
    integrator: str | None = None
    closure: bool = False
    form: str | None = None


WAYS: Registry[Way] = Registry(
    "way to train",
    Way(name="augmented", label="TDLRT, augmented", integrator="augmented", closure=True),
    Way(name="one-pass", label="TDLRT, augmented, one pass", integrator="augmented"),
    Way(name="fixed", label="TDLRT, fixed", integrator="fixed", closure=True),
    Way(name="matrix", label="U Vᵀ by SGD", form="matrix"),
    Way(name="tucker", label="Tucker by SGD", form="tucker"),
    Way(name="cp", label="CP by SGD", form="cp"),
)


def decaying_network(decay: float, seed: int) -> nn.Module:
    """LeNet-5 with three factorised layers whose spectra decay, from He's initialisation.

    In a convolution the slices k = 0, 1, ... of the core along both channel modes are multiplied by decay^-k.

    Arguments:
        decay: at least 1.
        seed: of the dense weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build_model("lenet5", classes=10, input_shape=(1, 28, 28))
        for name in LAYERS:
            layer = network.get_submodule(name)
            assert isinstance(layer, Dense)
            nn.init.kaiming_uniform_(layer.weight)
    factorize(network, RANK, include=LAYERS)
    for _, layer in factorized_layers(network):
        tucker = layer.tucker.rotate()
        core = tucker.core.detach()
        # A matrix has one spectrum; scaling both sides of its diagonal core would square the decay.
        for mode in tucker.modes[: 1 if core.ndim == 2 else 2]:
            weights = decay ** -torch.arange(core.shape[mode], dtype=core.dtype)
            core = core * weights.reshape([-1 if m == mode else 1 for m in range(core.ndim)])
        factors = tuple(None if factor is None else factor.detach() for factor in tucker.factors)
        layer.assign(Tucker(core, factors))
    return network


@torch.no_grad()
def write_directly(network: nn.Module, form: str, decay: float, seed: int) -> None:
    """Write the layers of a decaying network as plain ones in a direct form, in place.

    Matrix and Tucker form hold the same weights as the network. In CP form the components of the weights without decay,
    strongest first, are multiplied by decay^-k instead, and the whole is brought to the norm of the decayed weight.

    Arguments:
        network: as :func:`decaying_network` gives it.
        form: a name in ``DIRECT_FORMS``.
        decay, seed: that the network was made with.
    """
    chosen = DIRECT_FORMS[form]
    undecayed = dict(factorized_layers(decaying_network(1.0, seed))) if form == "cp" else {}
    for name, layer in list(factorized_layers(network)):
        dense = layer.dense()
        assert isinstance(dense, Dense)
        value: Any = layer.tucker.to(dtype=torch.float64)  # the smallest values would drown in float32
        if form == "matrix":
            value = chosen.approximate(value.to_dense(), RANK, torch.Generator())
        elif form == "cp":
            generator = torch.Generator().manual_seed(seed)
            parts = chosen.approximate(undecayed[name].weight.detach(), RANK, generator).canonicalize()
            weights = parts.weights * decay ** -torch.arange(len(parts.weights), dtype=torch.float64)
            parts = CP(weights, parts.factors)
            value = CP(weights * (value.norm() / parts.norm()), parts.factors)
        network.set_submodule(name, chosen.chain(dense, value))


def accuracy_curve(
    dataset: Dataset,
    way: str,
    *,
    decay: float,
    seed: int,
    learning_rate: float,
    epochs: int,
    every: int | None = None,
) -> list[tuple[int, float]]:
    """Train by plain SGD and measure.

    Arguments:
        dataset: of 28 x 28 images; on the device to train on.
        way: a name in ``WAYS``.
        decay, seed: of the start; the seed also decides the order of the batches.
        learning_rate: of SGD, or of SGD inside TDLRT.
        epochs: of the data set.
        every: measure after so many steps of each epoch too, not only at its end.

    Returns:
        Pairs of training steps and test accuracy in percent; a run that gave NaN or infinity ends where it did.
    """
    chosen = WAYS[way]
    network = decaying_network(decay, seed)
    if chosen.form is not None:
        write_directly(network, chosen.form, decay, seed)
    network.to(dataset.train_inputs.device)
    optimizer = _optimizer(network, chosen, learning_rate)
    steps = -(-len(dataset.train_targets) // BATCH)
    test = (dataset.test_inputs, dataset.test_targets)
    curve: list[tuple[int, float]] = []

    def after_batch(progress: Progress, loss: float) -> None:
        if not isfinite(loss):
            raise NonFiniteError("the loss is NaN or infinite")
        if every is not None and progress.batch % every == 0 and progress.batch < steps:
            curve.append((progress.epoch * steps + progress.batch, 100 * evaluate(network, *test)[1]))

    try:
        for metrics in fit(
            network,
            optimizer,
            _batches_of(dataset, seed),
            test,
            epochs=epochs,
            progress=Progress(),
            closure=chosen.closure,
            after_batch=after_batch,
        ):
            curve.append((metrics.epoch * steps, 100 * metrics.test_accuracy))  # noqa: PERF401 - so does after_batch
    except NonFiniteError:
        pass
    return curve


def _optimizer(network: nn.Module, way: Way, learning_rate: float) -> torch.optim.Optimizer:
    if way.integrator is None:
        return torch.optim.SGD(network.parameters(), lr=learning_rate)
    return TDLRT(
        network,
        torch.optim.SGD,
        integrator=way.integrator,
        core_steps=1,
        tolerance=0.0,
        min_rank=RANK,
        max_rank=RANK,
        lr=learning_rate,
    )


def _batches_of(dataset: Dataset, seed: int) -> Any:
    return lambda epoch, skip: batches(
        dataset.train_inputs,
        dataset.train_targets,
        BATCH,
        generator=torch.Generator().manual_seed(1000 * seed + epoch),
        skip=skip,
    )
