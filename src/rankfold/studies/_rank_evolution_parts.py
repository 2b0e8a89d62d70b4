"""What the cases of the study on ranks over training measure: a network, and teachers of known rank."""

import math
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from rankfold.convert import factorize, factorized_layers
from rankfold.data import Dataset, batches, load_dataset
from rankfold.formats import Tucker
from rankfold.layers import FactorizedLayer, Linear
from rankfold.linalg import augment
from rankfold.models import build_model
from rankfold.ranks import Fixed, Fraction
from rankfold.studies._integrator_problems import decayed, moved, normal, random_tucker, squared_loss
from rankfold.studies._records import Case, Record
from rankfold.studies._study import Setting
from rankfold.training import TDLRT, RankRecord, evaluate

__all__ = ["PARTS", "TRUE_RANK", "growth_factor", "teacher"]

_SIZE, TRUE_RANK = 24, 6  # of the teacher of order 2


# -- a network -----------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _dataset(name: str, data_dir: Path | None) -> Dataset:
    return load_dataset(name, data_dir=data_dir)


def _training(case: Case, setting: Setting) -> Record:
    """Ranks of every layer after every truncation, and what the network is worth at the end."""
    dataset = _dataset(case["data"], setting.data_dir)
    inputs, targets = dataset.train_inputs[: case["images"]], dataset.train_targets[: case["images"]]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(case["seed"])
        model = build_model("lenet5", classes=dataset.classes)
        if case["integrator"] != "dense":
            factorize(model, Fraction(1.0) if case["start"] == "full" else Fixed(case["start"]), rescale=True)
    model.to(setting.device)
    optimizer, ranks = _optimizer(model, case)
    generator = torch.Generator().manual_seed(case["seed"])
    for epoch in range(case["epochs"]):
        setting.progress(f"epoch {epoch + 1} of {case['epochs']}")
        for x, y in batches(inputs, targets, 128, generator=generator):
            optimizer.zero_grad()
            F.cross_entropy(model(x.to(setting.device)), y.to(setting.device)).backward()
            optimizer.step()
    if isinstance(optimizer, TDLRT):
        optimizer.truncate()
    test = [
        part[: case["test_images"]].to(setting.device) for part in (dataset.test_inputs, dataset.test_targets)
    ]
    loss, accuracy = evaluate(model, test[0], test[1])
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return {"ranks": ranks, "loss": loss, "accuracy": accuracy, "parameters": parameters}


def _optimizer(model: nn.Module, case: Case) -> tuple[Optimizer, dict[str, list[list[int]]]]:
    """The optimiser, and by layer a list that grows: step and sum of ranks over the factorised modes."""
    inner = {"lr": case["lr"], "momentum": 0.9}
    if case["integrator"] == "dense":
        return torch.optim.SGD(model.parameters(), **inner), {}
    layers: dict[str, FactorizedLayer] = dict(factorized_layers(model))
    ranks = {name: [[0, _rank_sum(layer, layer.ranks)]] for name, layer in layers.items()}

    def note(record: RankRecord) -> None:
        ranks[record.layer].append([record.step, _rank_sum(layers[record.layer], record.ranks)])

    options = {name: case[name] for name in ("tolerance", "integrator", "core_steps")}
    return TDLRT(model, torch.optim.SGD, on_truncation=note, **options, **inner), ranks


def _rank_sum(layer: FactorizedLayer, ranks: tuple[int, ...]) -> int:
    return sum(ranks[mode] for mode in layer.modes)


# -- a teacher of order 2 and rank 6 -------------------------------------------------------------------


def teacher(seed: int) -> Tensor:
    """A 24 x 24 matrix of rank 6 with singular values 0.7^k."""
    generator = torch.Generator().manual_seed(seed)
    left, right = (torch.linalg.qr(normal(generator, _SIZE, TRUE_RANK)).Q for _ in range(2))
    return (left * 0.7 ** torch.arange(TRUE_RANK, dtype=torch.float64)) @ right.mT


def _student(target: Tensor, start: int, seed: int) -> Linear:
    """A linear layer of the given rank with half the norm of the teacher."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        student = Linear(_SIZE, _SIZE, rank=start, bias=False, dtype=torch.float64)
    with torch.no_grad():
        student.core.mul_(0.5 * target.norm() / student.core.norm())
    return student


def _taught(case: Case, rate: float, start: int) -> tuple[Linear, list[int], float]:
    """A student trained on 1/2 ||W - target||² (its inputs are the unit vectors); ranks after every truncation."""
    target = teacher(case["seed"])
    student = _student(target, start, case["seed"])
    ranks: list[int] = []
    optimizer = TDLRT(
        student,
        torch.optim.SGD,
        lr=rate,
        tolerance=case["tolerance"],
        core_steps=case["core_steps"],
        on_truncation=lambda record: ranks.append(min(record.ranks)),
    )
    inputs, loss = torch.eye(_SIZE, dtype=torch.float64), 0.0
    for _ in range(case["steps"]):
        optimizer.zero_grad()
        value = (student(inputs) - target.mT).square().sum() / 2
        value.backward()
        optimizer.step()
        loss = float(value.detach())
    optimizer.truncate()
    return student, ranks, loss


def growth_factor(rate: float, core_steps: int) -> float:
    """``1 - (1 - lr)^s``: the share of the way to the projected teacher that s steps on the core go.

    On 1/2 ||W - A||² in fixed bases a step on the core is ``C <- C - lr (C - A x_i U_iᵀ)``.
    """
    return 1 - (1 - rate) ** core_steps


def _dead_zone(case: Case, setting: Setting) -> Record:
    """For every learning rate whether the rank grows, and whether the condition allows it.

    The bases are widened to Û_i = [U_i | Ũ_i]. After s core steps the core is ``C + f (A x_i Û_iᵀ - C)`` with f of
    :func:`growth_factor`, and what is new in mode i is f times ``g_i = ||Ũ_iᵀ Mat_i(A x_j Û_jᵀ)||``. The truncation
    takes a tail of mode i while its norm is at most ``tau ||C|| / sqrt(d)``, and the tail beyond the old rank is at
    most the norm of the new rows. Hence the rank grows only if f max_i g_i exceeds that. The border puts the norm at
    the start, the condition at the first truncation the norm of that core.
    """
    target = teacher(case["seed"])
    old = _student(target, case["start"], case["seed"]).tucker
    left, right = (factor.detach() for factor in old.factors if factor is not None)
    wide_left, wide_right = augment([left, right], [target @ right, target.mT @ left])
    projected = wide_left.mT @ target @ wide_right
    kept = F.pad(
        old.core.detach(), (0, wide_right.shape[1] - right.shape[1], 0, wide_left.shape[1] - left.shape[1])
    )
    fresh = max(
        float(projected[left.shape[1] :].norm()),
        float(projected[:, right.shape[1] :].norm()),
    )
    threshold = case["tolerance"] * float(old.core.detach().norm()) / (math.sqrt(2) * fresh)
    runs = []
    for rate in case["rates"]:
        factor = growth_factor(rate, case["core_steps"])
        trained = kept + factor * (projected - kept)
        allowed = factor * fresh > case["tolerance"] * float(trained.norm()) / math.sqrt(2)
        _, ranks, loss = _taught(case, rate, case["start"])
        runs.append(
            {
                "rate": rate,
                "allowed_first": allowed,
                "grew_first": ranks[0] > case["start"],
                "predicted": factor > threshold,
                "grew": max(ranks) > case["start"],
                "rank": ranks[-1],
                "loss": loss,
            }
        )
    # 1 - (1 - lr)^s = threshold; no learning rate below 1 reaches a threshold of 1 or more.
    border = 1 - (1 - threshold) ** (1 / case["core_steps"]) if threshold < 1 else None
    return {"runs": runs, "border": border}


def _starts(case: Case, setting: Setting) -> Record:
    _, ranks, loss = _taught(case, case["lr"], case["start"])
    return {"rank": ranks[-1], "loss": loss}


# -- augmented against parallel ------------------------------------------------------------------------


@lru_cache
def _halving_target(seed: int) -> tuple[Tensor, Tucker]:
    """Order 4 with singular values that halve, of norm 1, and a start of rank 2."""
    shape = (12, 10, 3, 3)
    generator = torch.Generator().manual_seed(seed)
    dense = decayed(random_tucker(shape, shape, generator), 2.0).to_dense()
    return dense / dense.norm(), random_tucker(shape, (2, 2, 2, 2), generator)


def _ends(integrator: str, tolerance: float, case: Case) -> tuple[int, float]:
    """Sum of ranks and loss at the end."""
    target, tucker = _halving_target(case["seed"])
    for _ in range(case["steps"]):
        wide = moved(integrator, tucker, tucker.to_dense() - target, case["lr"])
        tucker = wide.truncate(tolerance=tolerance)
    return sum(tucker.ranks), squared_loss(tucker, target)


def _matched(case: Case, setting: Setting) -> Record:
    """The largest tolerances at which either integrator ends with as many ranks as augmented at the given one.

    The sum of ranks is a step function of the tolerance, hence the upper edge of the step for both; it may jump over
    the wanted sum, so what was reached is recorded.
    """
    wanted = _ends("augmented", case["tolerance"], case)[0]
    record: Record = {"wanted": wanted}
    for integrator in ("augmented", "parallel"):
        same = _ends(integrator, case["tolerance"], case)
        tolerance, (ranks, loss) = _largest_tolerance(integrator, wanted, case)
        record |= {
            f"{integrator} tolerance": tolerance,
            f"{integrator} ranks": ranks,
            f"{integrator} loss": loss,
            f"{integrator} ranks at equal tolerance": same[0],
            f"{integrator} loss at equal tolerance": same[1],
        }
    return record


def _largest_tolerance(integrator: str, wanted: int, case: Case) -> tuple[float, tuple[int, float]]:
    """By bisection of its logarithm between a sixteenth of the case's tolerance and twice that."""
    high, low = math.log(2 * case["tolerance"]), math.log(case["tolerance"] / 16)
    found = _ends(integrator, math.exp(low), case)
    for _ in range(case["halvings"]):
        middle = (high + low) / 2
        ends = _ends(integrator, math.exp(middle), case)
        if ends[0] >= wanted:
            low, found = middle, ends
        else:
            high = middle
    return math.exp(low), found


PARTS: dict[str, Callable[[Case, Setting], Record]] = {
    "training": _training,
    "dead zone": _dead_zone,
    "starts": _starts,
    "matched": _matched,
}
