"""A trained transformer that gets new blocks, and what these are worth before and after training them."""

import copy
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rankfold.growth import insert_blocks, joint_svd
from rankfold.studies._layer_growth_model import OUTPUTS, CharacterModel, python_topics
from rankfold.studies._records import Case, Record
from rankfold.studies._study import Setting

__all__ = ["METHODS", "grow"]

# Name in tables: method, epochs and weight of the norm for the predictors, and whether the new matrices are then
# replaced by normal numbers of the same norms.
METHODS: dict[str, tuple[str, int, float, bool]] = {
    "identity": ("identity", 5, 5e-5, False),
    "copy": ("copy", 5, 5e-5, False),
    "mean": ("mean", 5, 5e-5, False),
    "predicted, paper": ("svd_predict", 5, 5e-5, False),
    "random, norms of paper": ("svd_predict", 5, 5e-5, True),
    "predicted, notebook": ("svd_predict", 10, 5e-4, False),
    "random, norms of notebook": ("svd_predict", 10, 5e-4, True),
}
_HEADS, _CONTEXT, _BATCH = 4, 64, 16
_BASE_RATE, _NEW_RATE = 3e-3, 1e-3  # choices of ours
_EVALUATED = 256  # sequences


def grow(case: Case, setting: Setting) -> Record:
    """Insert blocks into a trained model and train only these.

    Arguments:
        case: method, layers, places, width, base steps, steps, seed.
        setting: where.

    Returns:
        Loss on held-out text, in nats per character, of the trained model, with the new blocks, and after training
        them; the largest change of a logit by inserting; the mean norm of the new matrices over that of their
        neighbours; and of predictors the error and norm on held-out layers, by matrix.
    """
    setting.progress(f"{case['method']}, seed {case['seed']}")
    base = _trained(case["layers"], case["width"], case["base steps"], case["seed"], setting.device)
    model = copy.deepcopy(base)
    method, epochs, norm_weight, random = METHODS[case["method"]]
    growth = insert_blocks(
        model.blocks,
        case["places"],
        method=method,
        outputs=OUTPUTS,
        epochs=epochs,
        norm_weight=norm_weight,
        seed=case["seed"],
    )
    new = [model.blocks[place] for place in growth.new]
    generator = torch.Generator().manual_seed(case["seed"])
    if random:
        _replace_by_random(new, generator)
    text = _text().to(setting.device)
    held_out = _sequences(text[_cut(text) :], _EVALUATED, torch.Generator().manual_seed(0))
    before, after = _loss(base, held_out), _loss(model, held_out)
    with torch.no_grad():
        moved = float((model(held_out[0][:32]) - base(held_out[0][:32])).abs().max())
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    trained = [parameter for block in new for parameter in block.parameters()]
    for parameter in trained:
        parameter.requires_grad_()
    ratio = _norm_ratio(model, growth.new)
    _train(model, trained, text[: _cut(text)], case["steps"], _NEW_RATE, generator)
    return {
        "base": before,
        "inserted": after,
        "trained": _loss(model, held_out),
        "moved": moved,
        "norm": ratio,
        "predictions": {
            name: {"error": one.error, "norm": one.norm_ratio} for name, one in growth.predictions.items()
        },
        "joint": _joint_errors(base) if case["method"] == "mean" else None,
    }


@lru_cache(maxsize=1)  # the methods share it, one seed after the other
def _trained(layers: int, width: int, steps: int, seed: int, device: torch.device) -> CharacterModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = CharacterModel(layers, width, _HEADS, _CONTEXT).to(device)
    generator = torch.Generator().manual_seed(seed)
    text = _text().to(device)
    _train(model, list(model.parameters()), text[: _cut(text)], steps, _BASE_RATE, generator)
    return model


@lru_cache(maxsize=1)
def _text() -> Tensor:
    return python_topics()


def _cut(text: Tensor) -> int:
    """Where held-out text begins: the last tenth."""
    return len(text) * 9 // 10


def _sequences(text: Tensor, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Random places of the text: what is read, and the next characters."""
    starts = torch.randint(0, len(text) - _CONTEXT - 1, (count, 1), generator=generator)
    windows = text[(starts + torch.arange(_CONTEXT + 1)).to(text.device)]
    return windows[:, :-1], windows[:, 1:]


def _train(
    model: nn.Module,
    parameters: list[nn.Parameter],
    text: Tensor,
    steps: int,
    rate: float,
    generator: torch.Generator,
) -> None:
    optimizer = torch.optim.AdamW(parameters, lr=rate)
    for _ in range(steps):
        x, y = _sequences(text, _BATCH, generator)
        optimizer.zero_grad()
        F.cross_entropy(model(x).flatten(0, 1), y.flatten()).backward()
        optimizer.step()


@torch.no_grad()
def _loss(model: nn.Module, sequences: tuple[Tensor, Tensor]) -> float:
    x, y = sequences
    return float(F.cross_entropy(model(x).flatten(0, 1), y.flatten()))


@torch.no_grad()
def _replace_by_random(blocks: list[nn.Module], generator: torch.Generator) -> None:
    for block in blocks:
        for parameter in block.parameters():
            if parameter.ndim == 2:
                drawn = torch.randn(parameter.shape, generator=generator).to(parameter)
                parameter.copy_(drawn * (parameter.norm() / drawn.norm()))


@torch.no_grad()
def _norm_ratio(model: CharacterModel, new: tuple[int, ...]) -> float:
    """Mean over the matrices of new blocks of their norm over that of the same matrix in the block before."""
    ratios = [
        float(parameter.norm() / model.blocks[place - 1].get_parameter(name).norm())
        for place in new
        for name, parameter in model.blocks[place].named_parameters()
        if parameter.ndim == 2
    ]
    return sum(ratios) / len(ratios)


@torch.no_grad()
def _joint_errors(model: CharacterModel) -> dict[str, float]:
    """Over all kinds of matrices: how exact the common basis is, and that means of coefficients are means of matrices.

    Relative Frobenius errors, the largest ones.
    """
    exact, mean = [], []
    for name, first in model.blocks[0].named_parameters():
        if first.ndim != 2:
            continue
        matrices = torch.stack([block.get_parameter(name).double() for block in model.blocks])
        basis = joint_svd(list(matrices))
        exact.append(float((basis.matrices - matrices).norm() / matrices.norm()))
        middle = basis.matrix((basis.coefficients[0] + basis.coefficients[1]) / 2)
        wanted = (matrices[0] + matrices[1]) / 2
        mean.append(float((middle - wanted).norm() / wanted.norm()))
    return {"exact": max(exact), "mean": max(mean)}
