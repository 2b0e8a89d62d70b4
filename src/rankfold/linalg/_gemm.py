"""Matrix products in strict float32 by the faster of the two libraries that torch brings.

``torch.mm`` calls MKL, which leaves half of an AMD processor's AVX-512 unused; the same product through oneDNN's
inner product takes half the time there and rounds alike. oneDNN's has no gradient, so it serves inside autograd
functions and wherever gradients are off.
"""

import os
import time
from functools import lru_cache

import torch
from torch import Tensor

__all__ = ["product"]

# Choice of this library: below this many multiplications oneDNN's fixed cost per call is more than it saves.
_SMALLEST = 1_500_000
_VARIABLE = "RANKFOLD_GEMM"


def product(a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
    """The matrix product ``a @ b + bias``.

    Arguments:
        a: ``(m, k)``.
        b: ``(k, n)``.
        bias: None or ``(n,)``.

    Returns:
        ``(m, n)``. The environment variable RANKFOLD_GEMM, ``onednn`` or ``mkl``, overrides the measurement that
        chooses the library once per process.

    Example:
        >>> import torch
        >>> product(torch.ones(2, 3), torch.ones(3, 1)).tolist()
        [[3.0], [3.0]]
    """
    if (
        a.dtype == b.dtype == torch.float32
        and a.device.type == "cpu"
        and a.ndim == b.ndim == 2
        and a.shape[0] * a.shape[1] * b.shape[1] >= _SMALLEST
        and not torch.compiler.is_compiling()
        and not (torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in (a, b, bias)))
        and _onednn_is_faster()
    ):
        return _onednn(a, b, bias)
    return a @ b if bias is None else torch.addmm(bias, a, b)


def _onednn(a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
    # The second operand is the weight (n, k) of an inner product.
    return torch.ops.mkldnn._linear_pointwise(
        _gapless(a.detach()), _gapless(b.detach()).mT, bias, "none", [], ""
    )


def _gapless(matrix: Tensor) -> Tensor:
    """For a slice with gaps between its rows oneDNN falls back to its slow reference code."""
    return matrix if matrix.is_contiguous() or matrix.mT.is_contiguous() else matrix.contiguous()


@lru_cache(maxsize=1)
def _onednn_is_faster() -> bool:
    """Measured on one square product; on AMD the ratio is 2, elsewhere about 1, so 1.4 is out of reach of noise."""
    wanted = os.environ.get(_VARIABLE, "")
    if wanted in ("onednn", "mkl"):
        return wanted == "onednn" and _available()
    if not _available():
        return False
    matrix = torch.ones(256, 256)

    def seconds(multiply: object) -> float:
        best = float("inf")
        for _ in range(5):
            started = time.perf_counter()
            multiply(matrix, matrix)  # pyright: ignore[reportCallIssue]
            best = min(best, time.perf_counter() - started)
        return best

    return seconds(torch.mm) > 1.4 * seconds(_onednn)


def _available() -> bool:
    try:
        with torch.no_grad():
            _onednn(torch.ones(2, 2), torch.ones(2, 2))
    except (AttributeError, RuntimeError, NotImplementedError):
        return False
    return True
