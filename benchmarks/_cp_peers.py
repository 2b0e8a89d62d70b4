"""CP decompositions by other packages, and reference implementations where no package has the algorithm.

Every side takes a float tensor and a rank and gives factors without weights. Tolerances are so small that no peer is
stopped while it still gets on.
"""

from collections.abc import Sequence

import numpy as np
import pyttb
import tensorly
import torch
from tensorly.decomposition import non_negative_parafac_hals, parafac
from torch import Tensor

__all__ = ["em_als", "pyttb_als", "start", "tensorly_als", "tensorly_hals"]

# Below rounding of the errors that the peers compare, which they take from a difference of squares.
TOLERANCE = 1e-10


def start(shape: Sequence[int], rank: int, seed: int) -> list[np.ndarray]:
    """Random N(0, 1) factors."""
    source = np.random.default_rng(seed)
    return [source.standard_normal((n, rank)) for n in shape]


def tensorly_als(
    tensor: Tensor,
    rank: int,
    *,
    init: str | Sequence[np.ndarray] = "random",
    seed: int = 0,
    iterations: int = 2000,
    tolerance: float = TOLERANCE,
    linesearch: bool = False,
    observed: Tensor | None = None,
) -> list[Tensor]:
    """TensorLy's ``parafac``.

    Arguments:
        tensor: the data; hidden entries may hold anything.
        rank: number of components.
        init: ``'random'``, ``'svd'`` or factors.
        seed: of its own random numbers.
        iterations: most sweeps.
        tolerance: least change of the relative error; 0 makes it compute no errors at all.
        linesearch: Bro's extrapolation.
        observed: mask, True where observed.
    """
    data = tensor.numpy() if observed is None else (tensor * observed).numpy()
    with tensorly.backend_context("numpy"):  # tensorly-torch, once imported, makes torch the default
        if not isinstance(init, str):
            copies = [factor.copy() for factor in init]
            init = tensorly.cp_tensor.CPTensor((np.ones(rank, init[0].dtype), copies))
        weights, factors = parafac(
            data,
            rank,
            n_iter_max=iterations,
            init=init,
            tol=tolerance,
            random_state=seed,
            linesearch=linesearch,
            mask=None if observed is None else observed.numpy(),
        )
    return _absorbed(weights, factors)


def tensorly_hals(
    tensor: Tensor, rank: int, *, seed: int = 0, init: str = "random", iterations: int = 2000
) -> list[Tensor]:
    """TensorLy's ``non_negative_parafac_hals``."""
    with tensorly.backend_context("numpy"):
        weights, factors = non_negative_parafac_hals(
            tensor.numpy(), rank, n_iter_max=iterations, init=init, tol=TOLERANCE, random_state=seed
        )
    return _absorbed(weights, factors)


def pyttb_als(
    tensor: Tensor,
    rank: int,
    *,
    init: Sequence[np.ndarray] | None = None,
    seed: int = 0,
    iterations: int = 2000,
    tolerance: float = TOLERANCE,
) -> list[Tensor]:
    """pyttb's ``cp_als``, from the given factors or from N(0, 1) ones of the seed."""
    factors = start(tensor.shape, rank, seed) if init is None else [factor.copy() for factor in init]
    # pyttb keeps its arrays in Fortran order.
    data = pyttb.tensor(np.asfortranarray(tensor.numpy()))
    guess = pyttb.ktensor([np.asfortranarray(factor) for factor in factors], np.ones(rank))
    found, _, _ = pyttb.cp_als(
        data, rank, stoptol=tolerance, maxiters=iterations, init=guess, printitn=0, fixsigns=False
    )
    return _absorbed(found.weights, found.factor_matrices)


def em_als(
    tensor: Tensor, rank: int, observed: Tensor, *, seed: int = 0, iterations: int = 2000
) -> list[Tensor]:
    """Alternating least squares on the tensor whose gaps are filled from the model before every sweep.

    Reference:
        Tomasi and Bro 2005, "PARAFAC and missing values", section 3.1 (expectation maximisation).
    """
    factors = [torch.from_numpy(factor) for factor in start(tensor.shape, rank, seed)]
    letters = "abcdefgh"[: tensor.ndim]
    dense = f"{','.join(f'{letter}z' for letter in letters)}->{letters}"
    known = torch.where(observed, tensor, 0.0)
    # The first filling is the mean, as the paper proposes.
    filled = torch.where(observed, tensor, known.sum() / observed.sum())
    previous = float("inf")
    for _ in range(iterations):
        for mode, letter in enumerate(letters):
            others = [factor for index, factor in enumerate(factors) if index != mode]
            names = ",".join(f"{other}z" for other in letters if other != letter)
            right = torch.einsum(f"{letters},{names}->{letter}z", filled, *others)
            gram = torch.stack([factor.mT @ factor for factor in others]).prod(0)
            factors[mode] = right @ torch.linalg.pinv(gram, hermitian=True)
        fitted = torch.einsum(dense, *factors)
        error = float(((known - fitted) * observed).norm() / known.norm())
        if abs(previous - error) < TOLERANCE:
            break
        previous = error
        filled = torch.where(observed, tensor, fitted)
    return factors


def _absorbed(weights: np.ndarray, factors: Sequence[np.ndarray]) -> list[Tensor]:
    """The weights multiplied into the first factor."""
    first, *others = (torch.from_numpy(np.array(factor)) for factor in factors)
    return [first * torch.from_numpy(np.array(weights)), *others]
