"""The cases of the study of latent dropout: means, attacks, ranks cut after training."""

import copy
from collections.abc import Callable
from statistics import mean

import torch
from torch import Tensor, nn

import rankfold as rf
from rankfold import CP, TT, TTMatrix, Tucker
from rankfold.formats import Format
from rankfold.init import initialize
from rankfold.regularize import LatentDropout, latent_dropout, remove_latent_dropout
from rankfold.studies._digits import PIXELS, digits, fit, perceptron
from rankfold.studies._latent_dropout_attacks import attacked
from rankfold.studies._records import Case, Record
from rankfold.studies._study import Setting
from rankfold.training import evaluate

__all__ = ["ATTACKS", "FORMATS", "RUNS"]

_SIZE = 0.05  # of a change of a pixel in [0, 1]: the undefended network is right in about half of the images
_STEPS = 10
_SAMPLES = 20
_PASSES = 10  # that the accuracy of a random network is averaged over
_RANK = 32
_BATCH, _MOMENTUM, _CLIP = 64, 0.9, 2.0

# Steps, and draws for each gradient.
ATTACKS = {"fgsm": (1, 1), "pgd": (_STEPS, 1), "eot": (_STEPS, _SAMPLES)}


def _normal(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


# Axes of fewer than four values are left whole.
FORMATS: dict[str, Callable[[torch.Generator], Format]] = {
    "Tucker, 6 x 5 x 4": lambda g: Tucker(
        _normal(g, 6, 5, 4), (_normal(g, 8, 6), _normal(g, 7, 5), _normal(g, 6, 4))
    ),
    "Tucker, 6 x 3, an axis left whole": lambda g: Tucker(
        _normal(g, 6, 3), (_normal(g, 9, 6), _normal(g, 8, 3))
    ),
    "CP, 8": lambda g: CP(_normal(g, 8), (_normal(g, 7, 8), _normal(g, 6, 8), _normal(g, 5, 8))),
    "CP, 3, left whole": lambda g: CP(_normal(g, 3), (_normal(g, 7, 3), _normal(g, 6, 3))),
    "TT, 5 and 2, a bond left whole": lambda g: TT(
        (_normal(g, 1, 6, 5), _normal(g, 5, 7, 2), _normal(g, 2, 8, 1))
    ),
    "TT of a matrix, 5": lambda g: TT((_normal(g, 1, 9, 5), _normal(g, 5, 8, 1))),
    "TT-matrix, 6": lambda g: TTMatrix((_normal(g, 1, 3, 2, 6), _normal(g, 6, 4, 3, 1))),
}


def _mean(case: Case, setting: Setting) -> Record:
    """The slope of the mean of many draws over the weight, and what must hold exactly."""
    generator = torch.Generator().manual_seed(case["seed"])
    value = FORMATS[case["format"]](generator)
    dense = value.to_dense()
    dropout = LatentDropout(case["p"], at_test=case["at_test"], generator=generator)
    dropout.train(not case["at_test"])
    total, least = torch.zeros_like(dense), float("inf")
    for _ in range(case["draws"]):
        drawn = dropout(value).to_dense()
        least = min(least, float(drawn.abs().amax()))
        total += drawn
    quiet = LatentDropout(case["p"]).eval()
    return {
        "slope": float((total * dense).sum() / (case["draws"] * dense.square().sum())),
        "least": least,
        "evaluation": float((quiet(value).to_dense() - dense).abs().max()),
        "p of 0": float((LatentDropout(0.0)(value).to_dense() - dense).abs().max()),
    }


def _network(rank: int, seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    model = perceptron(PIXELS, 128, 64, 10)
    rf.factorize(model, rank)
    initialize(model, "spectral", balance=True, rescale=True, generator=torch.Generator().manual_seed(seed))
    return model


def _attack(case: Case, setting: Setting) -> Record:
    """A network that drops ranks in training, and perhaps at test time, attacked by one who knows it."""
    data, seed = digits(setting.data_dir), case["seed"]
    model, generator = _network(_RANK, seed), torch.Generator().manual_seed(seed)
    if case["p"]:
        latent_dropout(model, case["p"], at_test=case["at_test"], generator=generator)

    def hardened(inputs: Tensor, targets: Tensor) -> Tensor:
        return attacked(model, inputs, targets, size=_SIZE, steps=3, generator=generator)

    finite = fit(
        model,
        data.train,
        torch.optim.SGD(model.parameters(), lr=case["rate"], momentum=_MOMENTUM),
        epochs=case["epochs"],
        batch_size=_BATCH,
        seed=seed,
        inputs_of=hardened if case["adversarial"] else lambda inputs, targets: inputs,
        clip=_CLIP,
    )
    if not finite:
        return dict.fromkeys(("clean", *ATTACKS), 0.0)
    model.eval()
    inputs, targets = data.test
    random = case["p"] > 0 and case["at_test"]

    def accuracy(images: Tensor) -> float:
        passes = _PASSES if random else 1
        return 100 * mean(evaluate(model, images, targets)[1] for _ in range(passes))

    record = {"clean": accuracy(inputs)}
    for name, (steps, samples) in ATTACKS.items():
        samples = samples if random else 1  # else every draw is the same
        found = attacked(
            model, inputs, targets, size=_SIZE, steps=steps, samples=samples, generator=generator
        )
        record[name] = accuracy(found)
    return record


def _cut(case: Case, setting: Setting) -> Record:
    """A network trained with dropout of ranks and tested without it, its ranks then cut by the SVD of each weight."""
    data, seed = digits(setting.data_dir), case["seed"]
    model = _network(case["rank"], seed)
    rate, p, decay = case["recipe"]
    if p:
        latent_dropout(model, p, generator=torch.Generator().manual_seed(seed))
    optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=_MOMENTUM, weight_decay=decay)
    finite = fit(
        model, data.train, optimizer, epochs=case["epochs"], batch_size=_BATCH, seed=seed, clip=_CLIP
    )
    names = [f"{part} at {rank}" for rank in case["ranks"] for part in ("held out", "test")]
    if not finite:
        return dict.fromkeys(names, 0.0)
    remove_latent_dropout(model)
    record = {}
    for rank in case["ranks"]:
        cut = copy.deepcopy(model)
        rf.set_ranks(cut, rank)
        record[f"held out at {rank}"] = 100 * evaluate(cut, *data.held_out)[1]
        record[f"test at {rank}"] = 100 * evaluate(cut, *data.test)[1]
    return record


RUNS: dict[str, Callable[[Case, Setting], Record]] = {"mean": _mean, "attack": _attack, "cut": _cut}
