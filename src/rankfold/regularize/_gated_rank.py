"""Selection of ranks by plain gradient descent: every rank term a product of D parts that share a penalty."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from rankfold._checks import check_count, check_number, check_strength
from rankfold._errors import NonFiniteError, OptionError
from rankfold.formats import Format, Tucker, cut_together
from rankfold.layers import FactorizedLayer, FormatSite, format_sites, multiply_out, require_module
from rankfold.regularize._gates import add_gates, depth_of, gates_for, require_alone
from rankfold.regularize._quasi_norm import quasi_norm

__all__ = ["CollapsedRank", "GatedRank"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CollapsedRank:
    """One weight after its gates were multiplied in.

    Arguments:
        name: of the layer.
        ranks_before, ranks: of its format before and after the cut.
        error: what the cut removed, relative to the norm of the weight.
    """

    name: str
    ranks_before: tuple[int, ...]
    ranks: tuple[int, ...]
    error: float


class GatedRank:
    """Selects the ranks of weights in any format with any optimiser, by gates on their rank indices.

    The penalty is ``(strength / D) Σ ||part||²`` over the D parts of each rank term: the tensors of the format, and the
    gates that this class multiplies in where those are fewer than ``depth``. By the inequality of arithmetic and
    geometric means its least for given terms is ``strength Σ |term|^(2/D)``: for D = 2 the nuclear norm, for D = 3 a
    penalty that takes small terms to zero and hardly shrinks large ones. It is smooth, and plain gradient
    descent, Adam or any other optimiser finds the ranks; terms that vanish stay so.

    A Tucker matrix is a product of three as it is, so at ``depth=3`` only trains of two cores get gates. Deeper
    terms want a lower learning rate: in the parts of a term of size s the loss curves by ``D s^(2 - 2/D)``, and where a
    rate is too large for that they stick with too little or too much left.

    Make the optimiser after this and take weight decay off what is gated (:func:`decay_groups` does). While gates are
    there a layer computes, prints and folds as always; its gated tensor is a parametrisation, of which
    ``rankfold.TDLRT`` takes no layer. :meth:`collapse` multiplies gates in, cuts, and leaves ordinary layers.

    With TDLRT take ``balanced=True``. TDLRT turns the rank indices that a gate would belong to, and keeps factors
    orthonormal, so that the parts of a term cannot share a penalty. Then no gates are trained: the penalty takes all
    parts at their best, and is ``strength Σ σ^(2/D)`` of the singular values of the weight. It draws small ones to zero
    without reaching it, and the truncation cuts them.

    Arguments:
        model: a module with weights in a format, each of one layer only.
        strength: of the penalty, 0 or more.
        depth: least number D of parts of a term, 2 or more; :attr:`depths` has what each weight got.
        balanced: no gates, for Tucker layers, and for TDLRT.

    Raises:
        OptionError: an argument out of range, no weight to gate, one that is shared or gated already, or with
            ``balanced`` one that is no Tucker layer.

    Reference:
        Kolb, Weber, Bischl, Rügamer 2025, "Deep weight factorization", here on rank terms instead of entries; Shang,
        Liu, Cheng 2016, "Unified scalable equivalent formulations for Schatten quasi-norms".

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from rankfold.layers import Linear
        >>> _ = torch.manual_seed(0)
        >>> model = Linear(15, 20, bias=False, rank=10)
        >>> target = torch.randn(20, 2) @ torch.randn(2, 15) / 5
        >>> gated = GatedRank(model, 0.1)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
        >>> for _ in range(800):
        ...     optimizer.zero_grad()
        ...     loss = 0.5 * (model.weight - target).square().sum() + gated.penalty()
        ...     loss.backward()
        ...     optimizer.step()
        >>> rows = gated.collapse()
        >>> model.ranks
        (2, 2)
    """

    def __init__(self, model: nn.Module, strength: float, *, depth: int = 3, balanced: bool = False) -> None:
        require_module(model, "GatedRank")
        check_strength("GatedRank", strength)
        if isinstance(depth, bool) or not isinstance(depth, int) or depth < 2:
            raise OptionError(
                f"GatedRank: depth must be a whole number of 2 or more, got {depth!r}; pass such a number."
            )
        self.strength, self.balanced = strength, balanced
        self._sites = [site for site in format_sites(model) if site.value.latent_axes()]
        if not self._sites:
            raise OptionError(
                "GatedRank: no weight of the model is in a format, so there is no rank to select; call "
                "rankfold.factorize(model) first."
            )
        if balanced:
            for site in self._sites:
                _require_tucker(site, "GatedRank: balanced=True", "train gates instead")
            #: The number D of parts of a term, by layer.
            self.depths = dict.fromkeys((site.name for site in self._sites), depth)
            return
        for site in self._sites:
            require_alone(model, site)
        counts = [gates_for(site.value, depth) for site in self._sites]
        self.depths = {
            site.name: depth_of(site.value, count) for site, count in zip(self._sites, counts, strict=True)
        }
        for site, count in zip(self._sites, counts, strict=True):
            add_gates(site, count)

    def penalty(self) -> Tensor:
        """The penalty, to be added to a loss; a differentiable scalar."""
        part: Callable[[FormatSite], Tensor] = self._quasi_norm if self.balanced else self._mean_square
        parts = [part(site) for site in self._sites]
        return self.strength * torch.stack([part.to(parts[0]) for part in parts]).sum()

    def _quasi_norm(self, site: FormatSite) -> Tensor:
        assert isinstance(site.layer, FactorizedLayer)
        try:
            return quasi_norm(site.layer.tucker, self.depths[site.name])
        except torch.linalg.LinAlgError:  # pyright: ignore[reportPrivateImportUsage]
            raise NonFiniteError(
                f"GatedRank: the singular values of layer {site.name!r} cannot be computed, for its core or factors "
                "hold NaN or infinity; lower the learning rate or the strength."
            ) from None

    def _mean_square(self, site: FormatSite) -> Tensor:
        return torch.stack([part.square().sum() for part in site.parameters]).sum() / self.depths[site.name]

    @torch.no_grad()
    def collapse(
        self,
        tolerance: float = 1e-3,
        *,
        parameters: int | None = None,
        optimizer: Optimizer | None = None,
    ) -> tuple[CollapsedRank, ...]:
        """Multiply the gates in and cut the ranks that are left over, in place: ordinary layers again.

        Parameters of the format keep their identity but change their shape: make a new optimiser to train on.

        Arguments:
            tolerance: of the cut, relative to the norm of each weight, in [0, 1).
            parameters: None, or the most parameters that all these weights may have together: then the directions with
                the least energy per parameter go, too, over all of them. For Tucker layers.
            optimizer: its state of everything that was gated is dropped.

        Returns:
            One row per weight.

        Raises:
            OptionError: a number out of range, ``balanced=True``, gates that are gone already, or fewer parameters than
                the weights have at rank 1, or for another format than Tucker.
            NonFiniteError: a weight holds NaN or infinity; nothing was changed.
        """
        check_number("GatedRank.collapse", "tolerance", tolerance, 0, 1)
        if parameters is not None:
            check_count("GatedRank.collapse", "parameters", parameters)
        if self.balanced:
            raise OptionError(
                "GatedRank.collapse: with balanced=True there are no gates; TDLRT cuts the ranks itself, and without "
                "it rankfold.set_ranks(model, rankfold.Tolerance(0.01)) does."
            )
        gated = [site.computed for site in self._sites]
        if not all(gated):
            raise OptionError("GatedRank.collapse: the gates are gone already; make a new GatedRank.")
        results = []
        for site, result in zip(self._sites, self._cut(tolerance, parameters), strict=True):
            value = site.value
            norm = float(value.norm())
            distance = float(
                (value.norm() ** 2 - 2 * value.inner(result) + result.norm() ** 2).clamp_min(0).sqrt()
            )
            row = CollapsedRank(
                name=site.name,
                ranks_before=value.ranks,
                ranks=result.ranks,
                error=distance / norm if norm else 0.0,
            )
            results.append((result, row))
        for site, names, (result, _) in zip(self._sites, gated, results, strict=True):
            if optimizer is not None:
                for parameter in site.parameters:
                    optimizer.state.pop(parameter, None)
            for name in names:
                multiply_out(site.holder, name)
            site.assign(result)
        return tuple(row for _, row in results)

    def _cut(self, tolerance: float, parameters: int | None) -> list[Format]:
        """The weights with what the tolerance and the number of parameters leave of them."""
        values: list[Format] = []
        for site in self._sites:
            try:
                values.append(site.value.truncate(tolerance=tolerance))
            except NonFiniteError as error:
                raise NonFiniteError(f"layer {site.name!r}: {error}") from error
        if parameters is None:
            return values
        for site in self._sites:
            _require_tucker(site, "GatedRank.collapse: parameters", "cut by the tolerance alone")
        cut: list[Format] = [*cut_together([v for v in values if isinstance(v, Tucker)], parameters)]
        if (least := sum(value.num_parameters for value in cut)) > parameters:
            raise OptionError(
                f"GatedRank.collapse: parameters is {parameters:,}, but at rank 1 the weights have {least:,}; allow at "
                "least as many."
            )
        return cut


def _require_tucker(site: FormatSite, what: str, instead: str) -> None:
    if not isinstance(site.layer, FactorizedLayer):
        raise OptionError(
            f"{what} is for Tucker layers, the weight of {site.name!r} is {site.value!r}; {instead}."
        )
