"""One training of the study of spectral initialisation: factors of fixed rank, begun and decayed in one of two ways."""

from collections.abc import Iterable

import torch
from torch import nn

from rankfold.init import initialize, spectral
from rankfold.layers import format_sites, kernel_matrix_shape
from rankfold.regularize import FrobeniusDecay, decay_groups
from rankfold.studies._compression_networks import load_split, small_vgg
from rankfold.studies._digits import PIXELS, digits, fit
from rankfold.studies._records import Case, Record
from rankfold.studies._study import Setting
from rankfold.training import evaluate

__all__ = ["METHODS", "rank_share", "train_digits", "train_images"]

# Start and decay.
METHODS = {
    "default": ("normal", "factors"),
    "spectral": ("spectral", "factors"),
    "frobenius": ("normal", "product"),
    "both": ("spectral", "product"),
    "dense": (None, "factors"),
}


def rank_share(shapes: Iterable[tuple[int, int]], size: float) -> float:
    """The share of their largest ranks at which matrices in two factors have this share of their parameters, or less.

    Example:
        >>> rank_share([(100, 100)], 0.1)  # rank 5 has 5 * 200 numbers
        0.05
    """
    listed = list(shapes)
    total = sum(rows * columns for rows, columns in listed)

    def parameters(share: float) -> int:
        return sum(max(round(share * min(shape)), 1) * sum(shape) for shape in listed)

    ranks = {rank for shape in listed for rank in range(1, min(shape) + 1)}
    shares = sorted({rank / min(shape) for rank in ranks for shape in listed if rank <= min(shape)})
    fitting = [share for share in shares if parameters(share) <= size * total]
    return fitting[-1] if fitting else shares[0]


def _optimizer(model: nn.Module, decay: str, rate: float, strength: float) -> torch.optim.Optimizer:
    groups = decay_groups(model, strength) if decay == "product" else model.parameters()
    optimizer = torch.optim.SGD(groups, lr=rate, momentum=0.9, weight_decay=strength)
    if decay == "product":
        FrobeniusDecay(model, strength).attach(optimizer)
    return optimizer


def train_images(case: Case, setting: Setting) -> Record:
    """A small VGG on Fashion-MNIST, its convolutions but the first in separable form at a share of their parameters.

    Raises:
        DataError: Fashion-MNIST is not there.
    """
    start, decay = METHODS[case["method"]]
    data = load_split(
        "fashion_mnist", setting.data_dir, case["images"], case["held out images"], case["test images"], 2
    ).to(setting.device)
    torch.manual_seed(case["seed"])
    model = small_vgg(data.classes)
    kernels = [layer.weight for layer in model if isinstance(layer, nn.Conv2d)][1:]
    before = sum(kernel.numel() for kernel in kernels)
    if start is not None:
        share = rank_share((kernel_matrix_shape(kernel.shape) for kernel in kernels), case["size"])
        spectral(model, "separable", share, include=nn.Conv2d, exclude="0")
        _begin(model, start, case["seed"])
    model.to(setting.device)
    rate, strength = case["recipe"]
    finite = fit(
        model,
        data.train,
        _optimizer(model, decay, rate, strength),
        epochs=case["epochs"],
        batch_size=case["batch size"],
        seed=case["seed"],
    )
    after = sum(site.value.num_parameters for site in format_sites(model)) or before
    setting.progress(f"{case['method']} at {case['size']:g}")
    return {
        "kept %": 100 * after / before,
        "held out": 100 * evaluate(model, *data.held_out)[1] if finite else 0.0,
        "test": 100 * evaluate(model, *data.test)[1] if finite else 100 / data.classes,
    }


def train_digits(case: Case, setting: Setting) -> Record:
    """Three hidden layers of 128 units with batch normalisation on digits, the hidden matrices of one rank."""
    start, decay = METHODS[case["method"]]
    data = digits(setting.data_dir)
    torch.manual_seed(case["seed"])
    layers: list[nn.Module] = []
    for inputs in (PIXELS, 128, 128):
        layers += [nn.Linear(inputs, 128), nn.BatchNorm1d(128), nn.ReLU()]
    model = nn.Sequential(*layers, nn.Linear(128, 10))
    if start is not None:
        spectral(model, "tt", case["rank"], include=["0", "3", "6"])
        _begin(model, start, case["seed"])
    rate, strength = case["recipe"]
    finite = fit(
        model,
        data.train,
        _optimizer(model, decay, rate, strength),
        epochs=case["epochs"],
        batch_size=64,
        seed=case["seed"],
    )
    return {
        "held out": 100 * evaluate(model, *data.held_out)[1] if finite else 0.0,
        "test": 100 * evaluate(model, *data.test)[1] if finite else 10.0,
    }


def _begin(model: nn.Module, start: str, seed: int) -> None:
    """The spectral start is what there is: the decomposed random weights of the plain layers."""
    if start != "spectral":
        initialize(model, start, generator=torch.Generator().manual_seed(seed))
