"""Truncation of weights where it hurts least: weighted by what they are given and by how their outputs matter.

With second moments A of the inputs and G of the gradients, the error of a weight W' is
``trace(G (W - W') A (W - W')^T)``, the plain squared error of ``G^(1/2) (W - W') A^(1/2)``.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property

import torch
from torch import Tensor

from rankfold.compression._moments import Moments
from rankfold.compression._roots import Root, root_of
from rankfold.convert import Candidate, core_energies
from rankfold.formats import Tucker
from rankfold.linalg import fold_mode, left_singular, unfold
from rankfold.ranks import Choice

__all__ = ["CalibratedWeight", "WeightedTruncation"]


class WeightedTruncation:
    """Approximates weights in the norm that calibration gives them; see :class:`rankfold.convert.Truncation`.

    A matrix, or a tensor with a factor in its output mode alone, is approximated optimally (the weighted Eckart-Young
    theorem). With a factor in the input mode its basis comes from the HOSVD of the weight with the moments of
    channels and of window positions taken apart; core and output basis are then optimal for that basis in the
    joint moment.

    Arguments:
        moments: of each weight, by its identity.
    """

    calibrated = True

    def __init__(self, moments: Mapping[int, Moments]) -> None:
        self._moments = moments
        self._weights: dict[int, CalibratedWeight] = {}

    def reason(self, group: Sequence[Candidate]) -> str | None:
        """Why the weight cannot be approximated, or None."""
        if id(group[0].weight) not in self._moments:
            return "kept dense: the calibration data never reach it"
        if not bool(self._moments[id(group[0].weight)].outputs.any()):
            return "kept dense: no gradient of the outputs reaches it, so nothing tells what its errors cost"
        return None

    def energies(self, group: Sequence[Candidate], modes: tuple[int, ...]) -> Tensor:
        """Squares of the core of the weighted HOSVD: in the mean, how much the outputs change without its entries."""
        return self.calibrated_weight(group).energies(modes)

    def tucker(self, group: Sequence[Candidate], choice: Choice) -> Tucker:
        """The weight at the chosen ranks, with orthonormal factors."""
        weight = group[0].weight
        assert weight is not None
        tucker = self.calibrated_weight(group).tucker(choice).rotate()
        return tucker.to(dtype=weight.dtype)

    def error(self, group: Sequence[Candidate], approximation: Tensor) -> tuple[float, float]:
        """Weighted squared error of an approximation, and the weighted square of the weight itself."""
        return self.calibrated_weight(group).error(approximation)

    def calibrated_weight(self, group: Sequence[Candidate]) -> "CalibratedWeight":
        """The weight with its moments."""
        weight = group[0].weight
        assert weight is not None
        if id(weight) not in self._weights:
            self._weights[id(weight)] = CalibratedWeight(weight.detach().double(), self._moments[id(weight)])
        return self._weights[id(weight)]


class CalibratedWeight:
    """One weight in the norm that its moments give it.

    Arguments:
        weight: float64.
        moments: of its inputs and of the gradients of its outputs.
    """

    def __init__(self, weight: Tensor, moments: Moments) -> None:
        self.weight, self.moments = weight, moments
        self.incoming, self.outgoing = moments.incoming, moments.outgoing

    def moved(self, target: Tensor, moments: Moments) -> "CalibratedWeight":
        """Another weight for inputs with other moments, and the same outputs."""
        other = CalibratedWeight(target, moments)
        other.outputs = self.outputs
        return other

    @cached_property
    def outputs(self) -> Root:
        return root_of(self.moments.outputs)

    @cached_property
    def inputs(self) -> Root:
        return root_of(self.moments.inputs)

    @cached_property
    def window(self) -> Root:
        return root_of(self.moments.window)

    @cached_property
    def joint(self) -> Root | None:
        """Root over channels and window positions together."""
        if self.moments.joint is None or self._window_size != len(self.moments.window):
            return None
        return root_of(self.moments.joint)

    @property
    def _window_size(self) -> int:
        return self.weight.numel() // (self.weight.shape[0] * self.weight.shape[1])

    def _rows(self, tensor: Tensor) -> Tensor:
        """A weight as a matrix of outputs against input channels times window positions."""
        return unfold(tensor, self.outgoing)

    def _whole(self, rows: Tensor) -> Tensor:
        """A matrix of outputs against the rest, with its columns weighed by the input moments."""
        if self.joint is not None:
            return rows @ self.joint.half
        return self._rows(self._weigh_inputs(self._tensor(rows)))

    def _unweigh(self, rows: Tensor) -> Tensor:
        if self.joint is not None:
            return rows @ self.joint.inverse
        tensor = self.inputs.unweigh(self._tensor(rows), self.incoming)
        return self._rows(self._at_window(tensor, self.window.inverse))

    def _tensor(self, rows: Tensor) -> Tensor:
        shape = list(self.weight.shape)
        shape[self.outgoing] = len(rows)
        return fold_mode(rows, self.outgoing, tuple(shape))

    def _weigh_inputs(self, tensor: Tensor, window: bool = True) -> Tensor:
        tensor = self.inputs.weigh(tensor, self.incoming)
        return self._at_window(tensor, self.window.half) if window else tensor

    def _at_window(self, tensor: Tensor, matrix: Tensor) -> Tensor:
        if (
            tensor.ndim == 2 or len(matrix) != self._window_size
        ):  # transposed convolutions see one position at a time
            return tensor
        return (tensor.flatten(2) @ matrix).reshape(tensor.shape)

    def _apart(self, window: bool = True) -> Tensor:
        """The weight weighted with channels and window positions taken apart."""
        return self._weigh_inputs(self.outputs.weigh(self.weight, self.outgoing), window)

    def energies(self, modes: tuple[int, ...]) -> Tensor:
        matrix = self.weight.ndim == 2 and len(modes) == 2
        if matrix or modes == (self.outgoing,):
            squares = torch.linalg.svdvals(
                self.outputs.weigh(self._whole(self._rows(self.weight)), 0)
            ).square()
            return torch.diag(squares) if matrix else squares
        return core_energies(self._apart(window=max(modes) < 2), modes)

    def tucker(self, choice: Choice) -> Tucker:
        rank = dict(zip(choice.modes, choice.ranks, strict=True))
        if max(choice.modes) >= 2:
            return self._separate(choice)
        if self.weight.ndim == 2 and len(rank) == 2:
            return self._matrix(min(choice.ranks))
        if self.incoming not in rank:
            left, right = self._truncated(
                self.outputs.weigh(self._whole(self._rows(self.weight)), 0), rank[self.outgoing]
            )
            core = self._tensor(self._unweigh(right))
            return self._value(core, {self.outgoing: self.outputs.unweigh(left, 0)})
        return self._with_input_basis(rank)

    def _matrix(self, rank: int) -> Tucker:
        left, right = self._truncated(self.outputs.weigh(self._whole(self._rows(self.weight)), 0), rank)
        factors = {self.outgoing: self.outputs.unweigh(left, 0), self.incoming: self._unweigh(right).mT}
        core = torch.eye(rank, dtype=left.dtype, device=left.device)
        return self._value(core, factors).orthonormalize()

    def _with_input_basis(self, rank: dict[int, int]) -> Tucker:
        directions = left_singular(unfold(self._apart(), self.incoming), "svd")[0][:, : rank[self.incoming]]
        basis = torch.linalg.qr(self.inputs.unweigh(directions, 0))[0]
        coefficients, moment = self._coefficients(basis)
        shape = list(self.weight.shape)
        shape[self.incoming] = basis.shape[1]
        if self.outgoing not in rank:
            return self._value(fold_mode(coefficients, self.outgoing, tuple(shape)), {self.incoming: basis})
        root = root_of(moment)
        left, right = self._truncated(self.outputs.weigh(coefficients, 0) @ root.half, rank[self.outgoing])
        shape[self.outgoing] = left.shape[1]
        core = fold_mode(right @ root.inverse, self.outgoing, tuple(shape))
        return self._value(
            core, {self.incoming: basis, self.outgoing: self.outputs.unweigh(left, 0)}
        ).orthonormalize()

    def _coefficients(self, basis: Tensor) -> tuple[Tensor, Tensor]:
        """The best weight whose input channels lie in a basis, as a matrix, and the second moment in that basis."""
        rows, size = self._rows(self.weight), self._window_size
        if self.joint is not None:
            assert self.moments.joint is not None
            channels = len(basis)
            blocks = self.moments.joint.reshape(channels, size, channels, size)
            half = torch.einsum("ib,ixjy->bxjy", basis, blocks)
            moment = torch.einsum("bxjy,jc->bxcy", half, basis).reshape(basis.shape[1] * size, -1)
            right = half.reshape(basis.shape[1] * size, -1) @ rows.mT
            return _solved(moment, right).mT, moment
        inputs = self.moments.inputs
        weighted = basis.mT * inputs if inputs.ndim == 1 else basis.mT @ inputs
        small = weighted @ basis
        projection = _solved(small, weighted)
        tensor = torch.tensordot(self.weight.movedim(self.incoming, -1), projection.mT, 1).movedim(
            -1, self.incoming
        )
        window = self.moments.window
        if len(window) != size:
            window = torch.eye(size, dtype=small.dtype, device=small.device)
        return unfold(tensor, self.outgoing), torch.kron(small.contiguous(), window)

    def _separate(self, choice: Choice) -> Tucker:
        """With factors in window modes: HOSVD of the weight with channels weighted."""
        tucker = Tucker.from_dense(self._apart(window=False), ranks=list(choice.ranks), modes=choice.modes)
        factors = {mode: factor for mode, factor in enumerate(tucker.factors) if factor is not None}
        core = tucker.core
        for mode, root in ((self.outgoing, self.outputs), (self.incoming, self.inputs)):
            if mode in factors:
                factors[mode] = root.unweigh(factors[mode], 0)
            else:
                core = root.unweigh(core, mode)
        return self._value(core, factors).orthonormalize()

    def _value(self, core: Tensor, factors: dict[int, Tensor]) -> Tucker:
        return Tucker(core, tuple(factors.get(mode) for mode in range(self.weight.ndim)))

    def _truncated(self, matrix: Tensor, rank: int) -> tuple[Tensor, Tensor]:
        left, values, right = torch.linalg.svd(matrix, full_matrices=False)
        return left[:, :rank], values[:rank, None] * right[:rank]

    def error(self, approximation: Tensor) -> tuple[float, float]:
        def squared(tensor: Tensor) -> float:
            return float((self.outputs.weigh(self._whole(self._rows(tensor)), 0)).square().sum())

        return squared(self.weight - approximation.double()), squared(self.weight)


def _solved(matrix: Tensor, right: Tensor) -> Tensor:
    """Least-squares solution with a positive semidefinite matrix: directions that were never met stay out."""
    root = root_of(matrix)
    return root.inverse @ (root.inverse @ right)
