"""A trained model with its changes cut to small ranks."""

import copy
from collections.abc import Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

__all__ = ["with_cut_updates"]

Model = TypeVar("Model", bound=nn.Module)


@torch.no_grad()
def with_cut_updates(model: Model, start: Mapping[str, Tensor], ranks: Mapping[str, int]) -> Model:
    """A copy whose weight matrices are those of the start plus the best approximation of their change.

    Arguments:
        model: trained.
        start: its state dictionary before, every tensor of it cloned.
        ranks: by the name of the layer; other layers keep their weights.

    Example:
        >>> trained = nn.Sequential(nn.Linear(3, 3))
        >>> cut = with_cut_updates(trained, {"0.weight": torch.zeros(3, 3)}, {"0": 1})
        >>> int(torch.linalg.matrix_rank(cut[0].weight))
        1
    """
    result = copy.deepcopy(model)
    for name, rank in ranks.items():
        key = f"{name}.weight"
        weight = result.get_parameter(key)
        left, values, right = torch.linalg.svd(weight - start[key], full_matrices=False)
        weight.copy_(start[key] + (left[:, :rank] * values[:rank]) @ right[:rank])
    return result
