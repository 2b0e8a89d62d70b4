"""Factorised lookup table.

Axes: K entries, D dimensions, P and Q ranks. W_KD = U_KP S_PQ V_DQᵀ.
"""

from typing import Any

import torch
from torch import Tensor, nn

from rankfold._errors import OptionError
from rankfold.formats import Tucker
from rankfold.layers._base import FactorizedLayer, RankLike
from rankfold.layers._chain import Chain
from rankfold.layers._lookup import gradient_weight, shortened
from rankfold.layers._sides import LookupSide, MatrixSide
from rankfold.layers._windows import MatrixWindow

__all__ = ["Embedding"]

_CHAIN = Chain(LookupSide(), MatrixWindow(incoming=0), MatrixSide(), modes=(0, 1), plain=False)


class Embedding(FactorizedLayer):
    """``nn.Embedding`` with the table U S Vᵀ: looks up thin rows and maps them to the full dimension.

    Arguments:
        num_embeddings, embedding_dim, scale_grad_by_freq, device, dtype: as of ``nn.Embedding``.
        padding_idx: as of ``nn.Embedding``; its row is always zero.
        max_norm, norm_type: rows longer than ``max_norm`` are returned shortened to it, as ``nn.Embedding``
            does, but the stored table keeps their length.
        sparse: must be False, for a change of basis touches every row.
        rank: one number, a pair (entries, dimension), or a rank policy.
        generator: source of the random initial values; None is torch's global one.

    Raises:
        OptionError: ``sparse=True`` or a ``padding_idx`` out of range.
        RankError: a rank above ``min(num_embeddings, embedding_dim)`` or below 1.

    Example:
        >>> import torch
        >>> layer = Embedding(1000, 64, padding_idx=0, rank=8)
        >>> rows = layer(torch.tensor([[0, 5, 9]]))
        >>> rows.shape, bool(rows[0, 0].any())
        (torch.Size([1, 3, 64]), False)
    """

    dense_class = nn.Embedding
    channel_modes = (0, 1)
    mergeable = False  # a merged table would be as large as the dense one
    dense_arguments = (
        "num_embeddings",
        "embedding_dim",
        "padding_idx",
        "max_norm",
        "norm_type",
        "scale_grad_by_freq",
        "sparse",
    )

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        rank: RankLike,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if sparse:
            raise OptionError(
                "Embedding: sparse must be False, got True; leave it out, for a change of basis touches every row."
            )
        if padding_idx is not None and not -num_embeddings <= padding_idx < num_embeddings:
            raise OptionError(
                f"Embedding: padding_idx must lie in {-num_embeddings}..{num_embeddings - 1}, got {padding_idx}; pass "
                "the number of a row."
            )
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx = padding_idx % num_embeddings if padding_idx is not None else None
        self.max_norm, self.norm_type = max_norm, norm_type
        self.scale_grad_by_freq, self.sparse = scale_grad_by_freq, sparse
        self._create((num_embeddings, embedding_dim), None, rank, (0, 1), generator, device, dtype)

    @torch.no_grad()
    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """As of the base class, with the padding row zero and the other columns orthonormal without it."""
        super().reset_parameters(generator)
        if self.padding_idx is not None:
            self._clear_padding_row()
            self.assign(self.tucker.orthonormalize())

    @torch.no_grad()
    def assign(self, value: Tucker) -> None:
        """As of the base class; the padding row stays zero, which QR would keep only up to rounding."""
        super().assign(value)
        self._clear_padding_row()

    def _clear_padding_row(self) -> None:
        if self.padding_idx is not None:
            self.factors[0].data[self.padding_idx] = 0

    def _weight_variance(self) -> float:
        return 1.0  # nn.Embedding draws from the standard normal distribution

    def forward(self, input: Tensor) -> Tensor:
        """Look up integer ``(...)`` and return ``(..., embedding_dim)``."""
        # nn.Embedding keeps the dtype of its table under autocast, so the products must not be cast either.
        with torch.autocast(device_type=self.core.device.type, enabled=False):
            rows = self._run(input)
        if self.max_norm is not None:
            rows = shortened(rows, self.max_norm, self.norm_type)
        weight = gradient_weight(
            input,
            rows.dtype,
            entries=self.num_embeddings,
            by_frequency=self.scale_grad_by_freq,
            padding_idx=self.padding_idx,
        )
        return rows if weight is None else rows.detach() + weight * (rows - rows.detach())

    def _chain(self, sides: tuple[int, ...], *details: Any) -> Chain:
        return _CHAIN

    def _fold_stages(self, keep: tuple[int, ...]) -> list[nn.Module]:
        options = self._dense_options()
        if not keep:
            return [self._plain(nn.Embedding, self._absorbed(()), None, **options)]
        if self.max_norm is not None:
            return self._fold_stages(())  # only a dense table can clip the length of its rows
        options = {**options, "scale_grad_by_freq": False}
        table = self.factors[0] if 0 in keep else self._absorbed((1,))
        maps = {
            (0,): [self._absorbed((0,)).mT],
            (1,): [self.factors[1]],
            (0, 1): [self.core.mT, self.factors[1]],
        }
        options["embedding_dim"] = table.shape[1]
        first = self._plain(nn.Embedding, table, None, **options)
        rest = [
            self._plain(nn.Linear, weight, None, in_features=weight.shape[1], out_features=weight.shape[0])
            for weight in maps[keep]
        ]
        return [first, *rest]
