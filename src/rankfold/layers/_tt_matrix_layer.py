"""What the layers over a TT-matrix share: cores as parameters, initialisation, and the ways in and out."""

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any, Self

import torch
from torch import Tensor, nn

from rankfold._errors import RankError, ShapeError
from rankfold.formats import TTMatrix, check_sizes, core_shapes, full_bonds, plan_modes, ranks_within
from rankfold.layers._format_layer import FormatLayer, normal_like

__all__ = ["CORES", "BondsLike", "TTMatrixLayer"]

#: Factors that features are split into unless others are given (choice of this library).
CORES = 3

BondsLike = int | Sequence[int] | Callable[[tuple[int, ...], tuple[int, ...]], Sequence[int]]


class TTMatrixLayer(FormatLayer):
    """Base of the layers whose weight is a :class:`rankfold.formats.TTMatrix`; core k is the parameter ``core_<k>``."""

    out_sizes: tuple[int, ...]
    in_sizes: tuple[int, ...]

    def _create(
        self,
        weight_shape: tuple[int, int],
        bias_size: int | None,
        rank: BondsLike,
        sizes: tuple[int, Sequence[int] | None, Sequence[int] | None],
        generator: torch.Generator | None,
        device: Any,
        dtype: Any,
    ) -> None:
        where = type(self).__name__
        self.out_sizes, self.in_sizes = _checked(where, weight_shape, *sizes)
        given = rank(self.out_sizes, self.in_sizes) if callable(rank) else rank
        ranks = ranks_within(where, given, full_bonds(self.out_sizes, self.in_sizes))
        for k, shape in enumerate(core_shapes(self.out_sizes, self.in_sizes, ranks)):
            self.register_parameter(f"core_{k}", nn.Parameter(torch.empty(shape, device=device, dtype=dtype)))
        bias = None if bias_size is None else nn.Parameter(torch.empty(bias_size, device=device, dtype=dtype))
        self.register_parameter("bias", bias)
        self._settle()
        self.reset_parameters(generator)

    # -- what it is ------------------------------------------------------------------------------------

    @property
    def parts(self) -> dict[str, nn.Parameter]:
        """The cores."""
        return {name: getattr(self, name) for name in (f"core_{k}" for k in range(len(self.out_sizes)))}

    @property
    def value(self) -> TTMatrix:
        """The weight as a format, sharing the live parameters."""
        return TTMatrix(tuple(self.parts.values()))

    @property
    def ranks(self) -> tuple[int, ...]:
        """The inner ranks (r_1, ..., r_{d-1})."""
        return tuple(core.shape[3] for core in self.parts.values())[:-1]

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """Shape of the dense weight."""
        return prod(self.out_sizes), prod(self.in_sizes)

    # -- initialisation --------------------------------------------------------------------------------

    @torch.no_grad()
    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Normal cores of equal norm that give the weight exactly the norm expected of the dense layer's.

        Entries of a sum over all ranks have the variances of their factors multiplied by the number of terms; scaling
        to the norm makes this exact for every rank, where a formula of the expectation would leave it to luck.

        Arguments:
            generator: source of the random numbers; None is torch's global one.
        """
        cores = [normal_like(core, generator) for core in self.parts.values()]
        cores = [core / torch.linalg.vector_norm(core) for core in cores]
        wanted = (self._weight_variance() * prod(self.weight_shape)) ** 0.5
        share = (wanted / TTMatrix(tuple(cores)).norm()) ** (1 / len(cores))
        for part, core in zip(self.parts.values(), cores, strict=True):
            part.copy_(core * share)
        if self.bias is not None:
            bound = self._fan_in() ** -0.5
            self.bias.uniform_(-bound, bound, generator=generator)

    # -- in and out ------------------------------------------------------------------------------------

    @classmethod
    def from_dense(
        cls,
        module: nn.Module,
        *,
        rank: BondsLike,
        cores: int = CORES,
        out_sizes: Sequence[int] | None = None,
        in_sizes: Sequence[int] | None = None,
        rescale: bool = False,
    ) -> Self:
        """Factorise the weight of a plain layer by TT-SVD.

        Arguments:
            module: a layer of ``dense_class``; its bias parameter is taken over, not copied.
            rank, cores, out_sizes, in_sizes: as of the class.
            rescale: scale the cores so that the norm of the weight is kept; for a network about to be trained from
                scratch.

        Returns:
            The layer over a TT-matrix, with the device, dtype, mode and ``requires_grad`` of the original.

        Raises:
            ShapeError: sizes that are not factors of the weight's.
            RankError: a rank that the sizes do not allow.
            NonFiniteError: the weight holds NaN or infinity.
        """
        weight = module.weight
        assert isinstance(weight, Tensor)
        layer = cls.like(module, rank=rank, cores=cores, out_sizes=out_sizes, in_sizes=in_sizes)
        value = TTMatrix.from_dense(weight.detach(), layer.out_sizes, layer.in_sizes, ranks=layer.ranks)
        layer.assign_approximation(value, weight, rescale=rescale)
        return layer

    @classmethod
    def like(
        cls,
        module: nn.Module,
        *,
        rank: BondsLike,
        cores: int = CORES,
        out_sizes: Sequence[int] | None = None,
        in_sizes: Sequence[int] | None = None,
    ) -> Self:
        """A layer over a TT-matrix shaped like a plain one, with its bias, and uninitialised cores."""
        weight, bias = module.weight, getattr(module, "bias", None)
        assert isinstance(weight, Tensor)
        arguments = {name: getattr(module, name) for name in cls.dense_arguments}
        if "bias" in cls.__init__.__annotations__:
            arguments["bias"] = bias is not None
        sizes: dict[str, Any] = {"cores": cores, "out_sizes": out_sizes, "in_sizes": in_sizes}
        with torch.device("meta"):
            layer = cls(**arguments, rank=rank, **sizes, dtype=weight.dtype)
        layer.to_empty(device=weight.device)
        if bias is not None:
            layer.bias = bias
        return layer.train(module.training)

    @torch.no_grad()
    def assign(self, value: TTMatrix) -> None:
        """Take over the cores of a value of the same sizes at any ranks; parameters keep their identity.

        Arguments:
            value: the new weight.

        Raises:
            ShapeError: it is split into other sizes.
        """
        if (value.out_sizes, value.in_sizes) != (self.out_sizes, self.in_sizes):
            raise ShapeError(
                f"{type(self).__name__}.assign: got {value!r} for a layer of sizes {self.out_sizes} and "
                f"{self.in_sizes}; split the matrix into these."
            )
        super().assign(value)

    @torch.no_grad()
    def assign_approximation(self, value: TTMatrix, weight: Tensor, *, rescale: bool = False) -> None:
        """Take over a value that stands for a dense weight, with its norm spread evenly over the cores.

        Arguments:
            value: as for :meth:`assign`.
            weight: what it approximates; parameters ask for gradients as it does.
            rescale: scale to the norm of the weight.
        """
        if rescale:
            length = value.norm()
            scale = torch.linalg.vector_norm(weight) / torch.where(length > 0, length, 1.0)
            value = TTMatrix((value.cores[0] * scale, *value.cores[1:]))
        self.assign(value.balance())
        for part in self.parts.values():
            part.requires_grad_(weight.requires_grad)

    @torch.no_grad()
    def reserve(self, ranks: Sequence[int]) -> None:
        """Make room for cores of other ranks, with uninitialised values where a shape changes.

        Arguments:
            ranks: one for each bond, 1 or more.

        Raises:
            RankError: other ranks.
        """
        if len(ranks) != len(self.out_sizes) - 1 or any(rank < 1 for rank in ranks):
            raise RankError(
                f"{type(self).__name__}.reserve: got ranks {tuple(ranks)} for {len(self.out_sizes)} cores; pass one "
                "from 1 for each bond between two of them."
            )
        shapes = core_shapes(self.out_sizes, self.in_sizes, ranks)
        self._resize({f"core_{k}": shape for k, shape in enumerate(shapes)})

    def share(self, other: "TTMatrixLayer") -> None:
        """Use the cores of another layer from now on, as tied weights do."""
        self.out_sizes, self.in_sizes = other.out_sizes, other.in_sizes
        super().share(other)

    def _fits(self, stored: Mapping[str, Tensor]) -> bool:
        cores = list(stored.values())
        if any(core.ndim != 4 or core.numel() == 0 for core in cores):
            return False
        wanted = core_shapes(self.out_sizes, self.in_sizes, [core.shape[3] for core in cores[:-1]])
        return [tuple(core.shape) for core in cores] == wanted

    def _form(self) -> str:
        return f"as a TT-matrix of sizes {self.out_sizes} and {self.in_sizes}"

    def extra_repr(self) -> str:
        """Constructor arguments, sizes and ranks, for ``print(model)``."""
        return f"{super().extra_repr()}, out_sizes={self.out_sizes}, in_sizes={self.in_sizes}"


def _checked(
    where: str,
    weight_shape: tuple[int, int],
    cores: int,
    out_sizes: Sequence[int] | None,
    in_sizes: Sequence[int] | None,
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The factors of rows and columns: those given, else as equal as can be, as many as there are of the others."""
    given = [side for side in (out_sizes, in_sizes) if side is not None]
    count = len(given[0]) if given else cores
    sizes = check_sizes(
        where,
        plan_modes(weight_shape[0], count) if out_sizes is None else out_sizes,
        plan_modes(weight_shape[1], count) if in_sizes is None else in_sizes,
    )
    if (prod(sizes[0]), prod(sizes[1])) != tuple(weight_shape):
        raise ShapeError(
            f"{where}: got the sizes {sizes[0]} and {sizes[1]} for a weight of shape {tuple(weight_shape)}; pass "
            "factors of its rows and of its columns, or only how many cores."
        )
    return sizes
