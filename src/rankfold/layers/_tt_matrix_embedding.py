"""Lookup table over a TT-matrix.

Axes: B looked-up entries, D dimensions so far; of core k: r_{k-1}, o_k, i_k, r_k.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from rankfold._errors import OptionError
from rankfold.layers._lookup import gradient_weight, shortened
from rankfold.layers._tt_matrix_layer import CORES, BondsLike, TTMatrixLayer

__all__ = ["TTMatrixEmbedding"]


class TTMatrixEmbedding(TTMatrixLayer):
    """``nn.Embedding`` with a TT-matrix for a table: each row is a product of one small matrix per core.

    The number of an entry is written in digits, one for each core. A padding row of zeros is not possible, for its
    digits are those of other rows too.

    Arguments:
        num_embeddings, embedding_dim, scale_grad_by_freq, device, dtype: as of ``nn.Embedding``.
        max_norm, norm_type: rows longer than ``max_norm`` are returned shortened to it, as ``nn.Embedding`` does, but
            the stored table keeps their length.
        sparse: must be False, for every core belongs to many rows.
        rank: one number for all bonds, one per bond, or a function of the two tuples of sizes.
        cores: number of factors that entries and dimensions are split into.
        out_sizes, in_sizes: the factors of ``num_embeddings`` and of ``embedding_dim``; None finds some as equal as
            can be.
        generator: source of the random initial values; None is torch's global one.

    Raises:
        OptionError: ``sparse=True``.
        ShapeError: sizes that are not factors, or fewer than two cores.
        RankError: a rank above the full bonds or below 1.

    Reference:
        Hrinchuk et al. 2020, "Tensorized embedding layers".

    Example:
        >>> import torch
        >>> layer = TTMatrixEmbedding(8000, 64, rank=8)
        >>> layer(torch.tensor([[0, 5, 7999]])).shape, layer.value.num_parameters
        (torch.Size([1, 3, 64]), 6400)
    """

    dense_class = nn.Embedding
    dense_arguments = (
        "num_embeddings",
        "embedding_dim",
        "max_norm",
        "norm_type",
        "scale_grad_by_freq",
        "sparse",
    )
    channel_modes = (0, 1)
    executions: ClassVar[tuple[str, ...]] = ("chain",)
    #: There is one way to run it, row by row.
    execution: str | None = None

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        rank: BondsLike,
        cores: int = CORES,
        out_sizes: Sequence[int] | None = None,
        in_sizes: Sequence[int] | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if sparse:
            raise OptionError(
                "TTMatrixEmbedding: sparse must be False, got True; leave it out, for every core belongs to many rows."
            )
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.max_norm, self.norm_type = max_norm, norm_type
        self.scale_grad_by_freq, self.sparse = scale_grad_by_freq, sparse
        shape, sizes = (num_embeddings, embedding_dim), (cores, out_sizes, in_sizes)
        self._create(shape, None, rank, sizes, generator, device, dtype)

    @property
    def note(self) -> str | None:
        """That a table is faster."""
        return "no faster than dense: a lookup only copies rows, to which the cores add products"

    def forward(self, input: Tensor) -> Tensor:
        """Look up integer ``(...)`` and return ``(..., embedding_dim)``."""
        changed: Any = self._perturbed()
        cores: list[Tensor] = list(self.parts.values() if changed is None else changed.cores)
        # nn.Embedding keeps the dtype of its table under autocast, so the products must not be cast either.
        with torch.autocast(device_type=cores[0].device.type, enabled=False):
            rows = _looked_up(cores, self._digits(input.flatten()))
        rows = rows.reshape(*input.shape, self.embedding_dim)
        if self.max_norm is not None:
            rows = shortened(rows, self.max_norm, self.norm_type)
        weight = gradient_weight(
            input, rows.dtype, entries=self.num_embeddings, by_frequency=self.scale_grad_by_freq
        )
        return rows if weight is None else rows.detach() + weight * (rows - rows.detach())

    def _digits(self, entries: Tensor) -> list[Tensor]:
        """The digits of entries, one tensor per core, the most significant first."""
        digits = []
        for size in reversed(self.out_sizes[1:]):
            digits.append(entries % size)
            entries = entries // size
        # What is too large, or negative, is so in the first digit, whose lookup refuses it.
        return [entries, *reversed(digits)]

    def _weight_variance(self) -> float:
        return 1.0  # nn.Embedding draws from the standard normal distribution


def _looked_up(cores: Sequence[Tensor], digits: Sequence[Tensor]) -> Tensor:
    """The rows ``(B, D)`` with these digits."""
    rows_BDr = cores[0][0].index_select(0, digits[0])
    for core, digit in zip(cores[1:], digits[1:], strict=True):
        chosen_Brir = core.transpose(0, 1).index_select(0, digit)
        product = rows_BDr @ chosen_Brir.flatten(2)
        rows_BDr = product.unflatten(2, chosen_Brir.shape[2:]).flatten(1, 2)
    return rows_BDr.squeeze(2)
