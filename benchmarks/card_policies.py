"""What each rank policy makes of the same trained network at the same sizes, for the cards of docs/methods.

A small convolutional network is trained on the 8 x 8 digits of scikit-learn, a few times from other seeds. Every
policy converts a copy; where it has a number to choose, that is the largest at which the folded network keeps at most
the given share of the parameters. Nothing is trained again.
"""

import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from statistics import mean
from typing import Any

import torch
import tyro
from sklearn.datasets import load_digits
from torch import Tensor, nn

import rankfold as rf
from benchmarks._results import write_result
from benchmarks._setup import prepare

SHARES, EPOCHS, TRAINED, HALVINGS = (0.3, 0.15, 0.07), 10, 1300, 10
NOTE = (
    "A network of two convolutions (16 and 32 channels) and two linear layers (128 and 10) on the 8 x 8 digits of "
    "scikit-learn, 1,300 images to train on, 497 to test; the mean over networks of different seeds, nothing trained "
    "after the conversion. kept: parameters of the folded network by those of the dense one, at most the share; "
    "policies with a number take the largest at which it is. accuracy: % of the test images. calibrated: "
    "rankfold.compress with 300 training images, layers not fitted again. left_dense: how many of the 4 layers stay "
    "dense. seconds: of one conversion. evaluations: how often the policy asked for a loss, on the same 300 images."
)


@dataclass(frozen=True)
class Trained:
    """A network and its data."""

    network: nn.Sequential
    inputs: Tensor
    targets: Tensor
    test: tuple[Tensor, Tensor]
    evaluated: list[float] = field(default_factory=list)

    def accuracy(self, network: nn.Module) -> float:
        """In per cent of the test images."""
        with torch.no_grad():
            return 100 * float((network(self.test[0]).argmax(1) == self.test[1]).double().mean())

    def loss(self, network: nn.Module) -> float:
        """Of 300 training images; counted."""
        with torch.no_grad():
            self.evaluated.append(
                float(nn.functional.cross_entropy(network(self.inputs[:300]), self.targets[:300]))
            )
        return self.evaluated[-1]


def trained(seed: int) -> Trained:
    """The network of a seed, trained by Adam."""
    pixels, digits = load_digits(return_X_y=True)
    images = torch.tensor(pixels / 16, dtype=torch.float32).view(-1, 1, 8, 8)
    labels = torch.tensor(digits)
    torch.manual_seed(seed)
    network = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(512, 128),
        nn.ReLU(),
        nn.Linear(128, 10),
    )
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    for _ in range(EPOCHS):
        for part in torch.randperm(TRAINED).split(50):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(images[part]), labels[part]).backward()
            optimizer.step()
    return Trained(network.eval(), images[:TRAINED], labels[:TRAINED], (images[TRAINED:], labels[TRAINED:]))


@dataclass(frozen=True)
class Way:
    """A policy, and how it is used.

    Arguments:
        policy: from the data, the share to keep, and a number in (0, 1), more of which gives higher ranks.
        searched: whether the number is searched for.
        calibrated: whether calibration data tell what matters.
    """

    policy: Callable[[Trained, float, float], Any]
    searched: bool = False
    calibrated: bool = False


WAYS: dict[str, Way] = {
    "fixed": Way(lambda data, share, number: rf.Fixed(max(round(64 * number), 1)), searched=True),
    "fraction": Way(lambda data, share, number: rf.Fraction(number), searched=True),
    "quantum": Way(lambda data, share, number: rf.Quantum(number), searched=True),
    "energy": Way(lambda data, share, number: rf.Energy(number), searched=True),
    "tolerance": Way(lambda data, share, number: rf.Tolerance(1 - number), searched=True),
    "evbmf": Way(lambda data, share, number: rf.EVBMF()),
    "budget": Way(lambda data, share, number: rf.Budget(params=share)),
    "budget, calibrated": Way(lambda data, share, number: rf.Budget(params=share), calibrated=True),
    "sensitivity": Way(lambda data, share, number: rf.Sensitivity(data.loss, params=share)),
    "latency": Way(lambda data, share, number: rf.Latency(example_inputs=data.inputs[:64], speedup=1.5)),
}


@dataclass(frozen=True)
class Converted:
    """What a policy made of a network."""

    network: nn.Module
    left_dense: int
    seconds: float

    def share_of(self, dense: nn.Module) -> float:
        """Parameters by those of the dense network."""
        return _size(self.network) / _size(dense)


def _size(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def convert(data: Trained, way: Way, share: float, number: float = 0.0) -> Converted:
    """A copy of the network, converted and folded."""
    network, started = deepcopy(data.network), time.process_time()
    policy = way.policy(data, share, number)
    if way.calibrated:
        rows: list[Any] = list(rf.compress(network, policy, calibration=[data.inputs[:300]], refit=False))
        plain: nn.Module = network
    else:
        rows = list(rf.factorize(network, policy))
        plain = rf.fold(network)
    seconds = time.process_time() - started
    return Converted(plain, sum(row.ranks is None for row in rows), seconds)


def searched(data: Trained, way: Way, share: float) -> Converted:
    """The conversion at the largest number at which the network is small enough."""
    low, high = 0.0, 1.0
    best = convert(data, way, share, 1e-3)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        found = convert(data, way, share, middle)
        if found.share_of(data.network) <= share:
            low, best = middle, found
        else:
            high = middle
    return best


def row(name: str, share: float, networks: list[Trained]) -> dict[str, Any]:
    """One line: size and accuracy of all networks after one policy."""
    way, before = WAYS[name], sum(len(data.evaluated) for data in networks)
    found = [(searched if way.searched else convert)(data, way, share) for data in networks]
    pairs = list(zip(networks, found, strict=True))
    line = {
        "policy": name,
        "share": share,
        "kept": round(mean(one.share_of(data.network) for data, one in pairs), 4),
        "accuracy": round(mean(data.accuracy(one.network) for data, one in pairs), 2),
        "left_dense": round(mean(one.left_dense for one in found), 1),
        "seconds": round(mean(one.seconds for one in found), 3),
        "evaluations": (sum(len(data.evaluated) for data in networks) - before) // len(networks),
    }
    print(line, flush=True)
    return line


def main(seeds: int = 3) -> None:
    """Train the networks and ask every policy.

    Arguments:
        seeds: networks.
    """
    facts = prepare(1)
    networks = [trained(seed) for seed in range(seeds)]
    dense = round(mean(data.accuracy(data.network) for data in networks), 2)
    rows = [{"policy": "dense", "share": 1.0, "kept": 1.0, "accuracy": dense, "left_dense": 4.0}]
    rows += [row(name, share, networks) for share in SHARES for name in WAYS]
    write_result("card_policies", {"note": NOTE, **facts, "seeds": seeds, "rows": rows})


if __name__ == "__main__":
    tyro.cli(main)
