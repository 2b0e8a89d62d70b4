"""Watch a training: what becomes of the weights of each layer, written down while it goes on."""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from math import sqrt
from pathlib import Path

import torch
from torch import Tensor, nn

from rankfold._atomic import atomic_path
from rankfold._checks import check_count, check_path
from rankfold._errors import OptionError
from rankfold.diagnostics._balance import pair_balance
from rankfold.diagnostics._curvature import hessian_norms
from rankfold.diagnostics._spectrum import Spectrum, weight_spectra
from rankfold.diagnostics._update_rank import UpdateRank, suggested_ranks
from rankfold.layers import FactorizedLayer, require_module
from rankfold.linalg import orthonormality_defect

__all__ = ["LayerState", "TrainingMonitor"]

_ENERGY = 0.99  # of the squared norm that the ranks hold; a tolerance of 0.1 keeps as much
_ORTHONORMAL = 1e-3  # bases with a smaller defect are kept orthonormal by whoever trains them


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerState:
    """What one layer was like at one step.

    Arguments:
        step: as it was told.
        layer: its name.
        rank: the smallest that holds 99 % of the squared norm of the weight along each of its modes.
        stable_rank: squared norm over the square of the largest singular value, the largest of the modes.
        update_rank: as ``rank``, of what has changed since the monitor was made; 0 where nothing has.
        movement: norm of what has changed over the norm at the start; None where that is zero.
        curvature: the largest spectral norm of the Hessian along a parameter of the layer; None without a loss.
        imbalance: of a factorised matrix ``A B`` the distance from ``A^T A = B B^T``, from 0 to 1; None of other
            layers, and where the bases are orthonormal, as :class:`rankfold.TDLRT` keeps them.
    """

    step: int
    layer: str
    rank: int
    stable_rank: float
    update_rank: int
    movement: float | None
    curvature: float | None = None
    imbalance: float | None = None


class TrainingMonitor:
    """Writes down spectra, movement, curvature and balance of every layer while a model is trained.

    Call it with the number of the step in any loop. It changes nothing: neither gradients nor buffers nor random
    numbers. Every look costs a singular value decomposition per layer, and with a loss some ten backward passes per
    parameter. ``rankfold train --diagnose`` makes one, and its page draws what it wrote.

    Arguments:
        model: any module with linear, convolution or embedding layers, dense or factorised, as it is at the start.
        loss: evaluates the loss of a fixed batch, without ``backward``; it is called with the model in evaluation.
            None leaves the curvature out.
        every: steps that this number does not divide are passed over.
        iterations: of the power iteration for the curvature, which is found from below.

    Raises:
        OptionError: a model without such a layer, or an argument out of range.

    Reference:
        See :class:`UpdateRank`, :func:`hessian_norms`, :func:`laziness` and :func:`pair_balance`.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> model, x = nn.Sequential(nn.Linear(8, 4)), torch.randn(16, 8)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> monitor = TrainingMonitor(model, lambda: model(x).square().mean(), every=5)
        >>> for step in range(11):
        ...     monitor(step)
        ...     optimizer.zero_grad()
        ...     model(x).square().mean().backward()
        ...     optimizer.step()
        >>> [(state.step, state.layer, state.update_rank > 0) for state in monitor.states]
        [(0, '0', False), (5, '0', True), (10, '0', True)]
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Callable[[], Tensor] | None = None,
        *,
        every: int = 1,
        iterations: int = 10,
    ) -> None:
        require_module(model, "TrainingMonitor")
        if loss is not None and not callable(loss):
            raise OptionError(
                f"TrainingMonitor: loss is a {type(loss).__name__}; pass a function that evaluates the model on one "
                "batch, or None."
            )
        check_count("TrainingMonitor", "every", every)
        check_count("TrainingMonitor", "iterations", iterations)
        self.model, self.loss, self.every, self.iterations = model, loss, every, iterations
        #: What was seen, in order.
        self.states: list[LayerState] = []
        self._update = UpdateRank(model)
        self._norms = _norms(weight_spectra(model))

    def __call__(self, step: int) -> None:
        """Look at the model, if ``every`` divides the number of the step.

        Raises:
            OptionError: a step that is no whole number of 0 or more.
            NonFiniteError: a weight or the loss holds NaN or infinity; names the layer.
        """
        check_count("TrainingMonitor", "step", step, 0)
        if step % self.every:
            return
        with _undisturbed(self.model):
            self.states += self._look(step)

    def write(self, file: str | os.PathLike[str]) -> Path:
        """Write the states as lines of JSON, one a layer and step; the file is whole or not there.

        Arguments:
            file: its name, such as ``diagnostics.jsonl`` in the folder of a run.

        Returns:
            The path.
        """
        check_path("TrainingMonitor.write", file)
        path = Path(file)
        with atomic_path(path) as temporary:
            lines = (json.dumps(asdict(state)) + "\n" for state in self.states)
            temporary.write_text("".join(lines), encoding="utf-8")
        return path

    def _look(self, step: int) -> Iterator[LayerState]:
        spectra, changes = weight_spectra(self.model), self._update.spectra()
        ranks, update_ranks = suggested_ranks(spectra, _ENERGY), suggested_ranks(changes, _ENERGY)
        moved, stable = _norms(changes), dict.fromkeys(ranks, 0.0)
        for one in spectra:
            stable[one.name] = max(stable[one.name], one.stable_rank)
        curvatures = self._curvatures()
        modules = dict(self.model.named_modules())
        for name, rank in ranks.items():
            at_start = self._norms[name]
            yield LayerState(
                step=step,
                layer=name,
                rank=rank,
                stable_rank=stable[name],
                update_rank=update_ranks[name] if moved[name] else 0,
                movement=moved[name] / at_start if at_start else None,
                curvature=curvatures.get(name),
                imbalance=_imbalance(modules[name]),
            )

    def _curvatures(self) -> dict[str, float]:
        """The largest of the parameters of each layer."""
        if self.loss is None:
            return {}
        generator = torch.Generator().manual_seed(0)
        norms = hessian_norms(self.loss, self.model, iterations=self.iterations, generator=generator)
        found: dict[str, float] = {}
        for layer in self._norms:
            own = [value for name, value in norms.items() if not layer or name.startswith(f"{layer}.")]
            if own:
                found[layer] = max(own)
        return found


def _norms(spectra: Sequence[Spectrum]) -> dict[str, float]:
    """Of each weight; every one of its unfoldings has the same."""
    return {one.name: sqrt(sum(value**2 for value in one.values)) for one in spectra}


@torch.no_grad()
def _imbalance(layer: nn.Module) -> float | None:
    if not isinstance(layer, FactorizedLayer) or len(layer.weight_shape) != 2:
        return None
    bases = [factor for factor in layer.tucker.factors if factor is not None]
    if all(float(orthonormality_defect(basis)) < _ORTHONORMAL for basis in bases):
        return None
    tucker = layer.tucker
    first, second = tucker.factors
    left = tucker.core if first is None else first @ tucker.core
    return pair_balance(left, torch.eye(left.shape[1]).to(left) if second is None else second.mT)


@contextmanager
def _undisturbed(model: nn.Module) -> Iterator[None]:
    """In evaluation, where no buffer changes, and without collecting for the step of TDLRT; afterwards as before."""
    modules = list(model.modules())
    training = [module.training for module in modules]
    layers = [module for module in modules if isinstance(module, FactorizedLayer)]
    collectors = [layer.one_pass for layer in layers]
    try:
        model.eval()
        for layer in layers:
            layer.one_pass = None
        yield
    finally:
        for module, flag in zip(modules, training, strict=True):
            module.training = flag
        for layer, collector in zip(layers, collectors, strict=True):
            layer.one_pass = collector
