"""What every layer over a Tucker tensor keeps."""

from typing import Any, ClassVar

import pytest
import torch

from rankfold.formats import Tucker, full_ranks
from rankfold.linalg import unfold
from rankfold.testing._layer_contract import LayerContract
from rankfold.testing._rounding import assert_same

__all__ = ["TuckerLayerContract"]


class TuckerLayerContract(LayerContract):
    """:class:`LayerContract` for a :class:`rankfold.layers.FactorizedLayer`, with what TDLRT asks of it."""

    full_rank: ClassVar[Any] = staticmethod(full_ranks)

    def largest_rank(self, layer: Any) -> int:
        return max(full_ranks(layer.weight_shape, layer.modes))

    def _compare_parts(self, layer: Any, gradient: Any, terms: int) -> None:
        """dL/dC = G x_i U_iᵀ, and dL/dU_i = Mat_i(G) Mat_i(C x_j U_j, j != i)ᵀ."""
        factors = {mode: factor.detach() for mode, factor in layer.factors.items()}
        projected = Tucker(
            gradient,
            tuple(factors[mode].mT if mode in factors else None for mode in range(gradient.ndim)),
        )
        assert layer.core.grad is not None
        assert_same(layer.core.grad, projected.to_dense(), terms=terms)
        for mode, factor in layer.factors.items():
            others = tuple(None if j == mode else factors.get(j) for j in range(gradient.ndim))
            rest = Tucker(layer.core.detach(), others).to_dense()
            assert factor.grad is not None
            assert_same(factor.grad, unfold(gradient, mode) @ unfold(rest, mode).mT, terms=terms)

    def test_recomputing_hidden_values_changes_nothing(self, case: dict[str, Any]) -> None:
        _, layer = self._pair(case, 2)
        layer.execution, layer.recompute = "chain", True
        self._compare(layer, layer.dense())

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_initial_factors_are_orthonormal(self, dtype: torch.dtype) -> None:
        layer = self._fresh(dtype=dtype)
        assert layer.tucker.orthonormality_defect() <= 4 * max(layer.weight_shape) * torch.finfo(dtype).eps
