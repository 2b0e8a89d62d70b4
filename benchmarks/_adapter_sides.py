"""The adapters that are compared on text, each trained as its authors say."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

import rankfold as rf
from rankfold import adapters

__all__ = ["SIDES", "Side", "Trained"]

_LAYERS = ("wq", "wk", "wv", "wo", "w1", "w2", "w3")
_SPARE = (
    2  # AdaLoRA begins with so many times the rank it ends with, less than the 1.5 to 3 of its paper's tables
)


@dataclass
class Trained:
    """A model in training.

    Arguments:
        model: takes tokens, gives logits.
        step: moves it by the gradients that are there; takes the number of the step, from 0.
        parameters: numbers that are trained now and stay in use.
        ranks: of every adapted layer.
        set_rate: takes the learning rate of the next step.
    """

    model: nn.Module
    step: Callable[[int], None]
    parameters: Callable[[], int]
    ranks: Callable[[], list[int]]
    set_rate: Callable[[float], None]


@dataclass(frozen=True)
class Side:
    """One way to adapt.

    Arguments:
        name: in tables.
        build: from the frozen model, the rank of LoRA, the number of steps and a seed.
    """

    name: str
    build: Callable[[nn.Module, int, int, int], Trained]


def _rate_of(optimizer: torch.optim.Optimizer) -> Callable[[float], None]:
    def set_rate(rate: float) -> None:
        for group in optimizer.param_groups:
            group["lr"] = rate

    return set_rate


def lora_parameters(model: nn.Module, rank: int) -> int:
    """Numbers that LoRA of a rank has on the adapted layers."""
    return sum(
        rank * sum(module.weight.shape)
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and name.rpartition(".")[2] in _LAYERS
    )


def _tdlrt(model: nn.Module, rank: int, steps: int, seed: int) -> Trained:
    budget = lora_parameters(model, rank)
    generator = torch.Generator().manual_seed(seed)
    adapters.attach(model, _SPARE * rank, include=rf"layers\..*\.({'|'.join(_LAYERS)})", generator=generator)
    optimizer = rf.TDLRT(
        model,
        torch.optim.AdamW,
        lr=0.0,
        weight_decay=0.0,
        integrator="parallel",
        core_steps=1,
        tolerance=0.0,
        parameter_budget=budget,
        budget_warmup=steps // 2,
    )
    layers = optimizer.layers.values()
    return Trained(
        model,
        lambda _: optimizer.step(),
        lambda: sum(layer.tucker.num_parameters for layer in layers),
        lambda: [layer.ranks[0] for layer in layers],
        _rate_of(optimizer),
    )


def _lora(model: nn.Module, rank: int, steps: int, seed: int) -> Trained:
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(seed)
    made = get_peft_model(model, LoraConfig(r=rank, lora_alpha=rank, target_modules=list(_LAYERS)))
    trained = [parameter for parameter in made.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=0.0, weight_decay=0.0)
    return Trained(
        made,
        lambda _: optimizer.step(),
        lambda: sum(parameter.numel() for parameter in trained),
        lambda: [rank] * (len(trained) // 2),
        _rate_of(optimizer),
    )


def _adalora(model: nn.Module, rank: int, steps: int, seed: int) -> Trained:
    from peft import AdaLoraConfig, get_peft_model

    torch.manual_seed(seed)
    config = AdaLoraConfig(
        init_r=_SPARE * rank,
        target_r=rank,
        lora_alpha=_SPARE * rank,
        target_modules=list(_LAYERS),
        total_step=steps,
        tinit=steps // 10,
        tfinal=steps // 5,
        deltaT=10,
    )
    made: Any = get_peft_model(model, config)
    trained = [parameter for parameter in made.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=0.0, weight_decay=0.0)

    def step(number: int) -> None:
        optimizer.step()
        made.base_model.update_and_allocate(number)

    def kept() -> dict[str, tuple[int, int]]:
        """Directions in use of every layer, and numbers in each of them."""
        parts: dict[str, dict[str, Tensor]] = {}
        for name, parameter in made.named_parameters():
            for part in ("lora_A", "lora_B", "lora_E"):
                if part in name:
                    parts.setdefault(name.partition(".lora_")[0], {})[part] = parameter
        return {
            name: (
                int((found["lora_E"] != 0).sum()),
                found["lora_A"].shape[1] + found["lora_B"].shape[0] + 1,
            )
            for name, found in parts.items()
        }

    return Trained(
        made,
        step,
        lambda: sum(count * size for count, size in kept().values()),
        lambda: [count for count, _ in kept().values()],
        _rate_of(optimizer),
    )


def _penalty(model: nn.Module) -> Tensor | float:
    """AdaLoRA's own term, which PEFT adds where the model computes its loss itself."""
    total, count = 0.0, 0
    for name, parameter in model.named_parameters():
        if "lora_A" in name or "lora_B" in name:
            gram = parameter @ parameter.mT if "lora_A" in name else parameter.mT @ parameter
            total = total + torch.linalg.matrix_norm(gram - torch.eye(len(gram)))
            count += 1
    return total / count if count else 0.0


def penalty(side: str, model: nn.Module) -> Tensor | float:
    """What a side adds to the loss: the orthogonality that AdaLoRA asks for, at PEFT's weight 0.5."""
    return 0.5 * _penalty(model) if side == "PEFT AdaLoRA" else 0.0


SIDES = (
    Side("TDLRT adapters", _tdlrt),
    Side("PEFT LoRA", _lora),
    Side("PEFT AdaLoRA", _adalora),
)
