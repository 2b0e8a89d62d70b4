"""What is no module is refused in one sentence, wherever a model is expected."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from rankfold import Budget, OptionError, compress, densify, factorize, fold
from rankfold.convert import orthogonalize
from rankfold.layers import merge_orthogonal, orthogonal_matrices


@pytest.mark.parametrize(
    "function",
    [
        factorize,
        fold,
        densify,
        orthogonalize,
        merge_orthogonal,
        orthogonal_matrices,
        lambda model: compress(model, Budget(params=0.5)),
    ],
)
@pytest.mark.parametrize("model", ["resnet20", {"weight": torch.ones(2, 2)}, None])
def test_no_module(function: Callable[[Any], object], model: object) -> None:
    with pytest.raises(OptionError, match=f"model is a {type(model).__name__}; pass the nn.Module"):
        function(model)
