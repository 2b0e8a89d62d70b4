"""LeNet-5 on MNIST from ill-conditioned starts: TDLRT against training the factors directly.

The first three layers have rank 20 and singular values multiplied by decay^-k, k = 0..19 (in a convolution, the slices
of the core along both channel modes), from dense weights with He's initialisation. Plain SGD, learning rate 0.01,
batch 128, as in the authors' experiment (Schotthöfer et al. 2022; mean test accuracy after 4 epochs, decay 10: DLRT
90.7 %, U Vᵀ 29.3 %). The U Vᵀ network has the same weights, each written as two plain layers with the singular values
split evenly between them.
"""

from pathlib import Path

import torch
import tyro
from torch import nn

from benchmarks._results import write_result
from rankfold import TDLRT, Tucker, factorize
from rankfold.convert import factorized_layers
from rankfold.data import Dataset, batches, load_dataset
from rankfold.models import build_model
from rankfold.training import Progress, fit

LAYERS = ("conv1", "conv2", "linear1")
RANK = 20


def decaying_network(decay: float, seed: int) -> nn.Module:
    """LeNet-5 with three factorised layers whose spectra decay."""
    torch.manual_seed(seed)
    network = build_model("lenet5", classes=10, input_shape=(1, 28, 28))
    for name in LAYERS:
        nn.init.kaiming_uniform_(network.get_submodule(name).weight)
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


def split_in_two(network: nn.Module) -> None:
    """Write each factorised layer as two plain ones, U sqrt(S) and sqrt(S) Vᵀ of the matrix (outputs x rest)."""
    for name, layer in list(factorized_layers(network)):
        weight = layer.weight.detach().double()
        left, values, right = torch.linalg.svd(weight.flatten(1), full_matrices=False)
        root = values[:RANK].sqrt()
        first, second = root[:, None] * right[:RANK], left[:, :RANK] * root
        dense = layer.dense()
        if isinstance(dense, nn.Conv2d):
            inner = nn.Conv2d(dense.in_channels, RANK, dense.kernel_size, bias=False)
            outer = nn.Conv2d(RANK, dense.out_channels, 1)
        else:
            assert isinstance(dense, nn.Linear)
            inner = nn.Linear(dense.in_features, RANK, bias=False)
            outer = nn.Linear(RANK, dense.out_features)
        inner.weight.data.copy_(first.reshape(inner.weight.shape))
        outer.weight.data.copy_(second.reshape(outer.weight.shape))
        outer.bias = dense.bias
        network.set_submodule(name, nn.Sequential(inner, outer))


def accuracies(dataset: Dataset, method: str, decay: float, seed: int, epochs: int) -> list[float]:
    """Test accuracy in percent after every epoch."""
    network = decaying_network(decay, seed)
    options = {"lr": 0.01}
    if method == "uv":
        split_in_two(network)
        optimizer = torch.optim.SGD(network.parameters(), **options)
    else:
        optimizer = TDLRT(
            network,
            torch.optim.SGD,
            integrator=method,
            core_steps=1,
            tolerance=0.0,
            min_rank=RANK,
            max_rank=RANK,
            **options,
        )
    done = fit(
        network,
        optimizer,
        lambda epoch, skip: batches(
            dataset.train_inputs,
            dataset.train_targets,
            128,
            generator=torch.Generator().manual_seed(1000 * seed + epoch),
            skip=skip,
        ),
        (dataset.test_inputs, dataset.test_targets),
        epochs=epochs,
        progress=Progress(),
        closure=isinstance(optimizer, TDLRT),
    )
    return [round(100 * metrics.test_accuracy, 2) for metrics in done]


def main(
    data_dir: Path | None = None,
    decays: tuple[float, ...] = (1.0, 10.0),
    methods: tuple[str, ...] = ("augmented", "fixed", "uv"),
    seeds: int = 3,
    epochs: int = 4,
    threads: int = 1,
) -> None:
    """Train every method from every start, print a line per run, and write the result.

    Arguments:
        data_dir: folder with the MNIST files; otherwise RANKFOLD_DATA, the user cache, or a download.
        decays: factors between neighbouring singular values.
        methods: integrators of TDLRT, or ``uv``.
        seeds: number of seeds.
        epochs: epochs per run.
        threads: torch threads.
    """
    torch.set_num_threads(threads)
    dataset = load_dataset("mnist", data_dir=data_dir)
    rows = []
    for decay in decays:
        for method in methods:
            runs = [accuracies(dataset, method, decay, seed, epochs) for seed in range(seeds)]
            means = [round(sum(run[epoch] for run in runs) / seeds, 2) for epoch in range(epochs)]
            rows.append({"decay": decay, "method": method, "mean_accuracies": means, "runs": runs})
            print(f"decay {decay:g} {method}: {means}", flush=True)
    write_result("mnist_decay", {"rows": rows})


if __name__ == "__main__":
    tyro.cli(main)
