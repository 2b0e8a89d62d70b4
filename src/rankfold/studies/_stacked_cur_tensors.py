"""Third-order tensors written by their own columns and rows, against the best approximation of the same tubal rank."""

import torch
from torch import Tensor

from rankfold.decompose import TCUR, TRANSFORMS, t_cur, t_product, t_svd
from rankfold.studies._records import Case, Record

__all__ = ["compare_tensors"]


def compare_tensors(case: Case) -> Record:
    """Decompose a random tensor of low tubal rank with noise, and the same with its slices in another order.

    Arguments:
        case: shape, tubal rank of the tensor under its transform, noise relative to it, rank of the decompositions,
            transform, seed.

    Returns:
        Relative errors of t-CUR, of t-CUR with the inverse of the crossing for its core, of the t-SVD, and of t-CUR
        after the slices were shuffled.
    """
    generator = torch.Generator().manual_seed(case["seed"])
    rows, columns, slices = case["shape"]

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    exact = t_product(
        normal(rows, case["tubal rank"], slices),
        normal(case["tubal rank"], columns, slices),
        case["transform"],
    )
    noise = normal(rows, columns, slices)
    x = exact + case["noise"] * noise * (exact.norm() / noise.norm())
    order = torch.randperm(slices, generator=generator)
    chosen = t_cur(x, case["rank"], transform=case["transform"])
    dense = {
        "t-CUR": chosen.to_dense(),
        "crossing": _by_crossing(chosen, x),
        "t-SVD": t_svd(x, case["rank"], transform=case["transform"]).to_dense(),
    }
    errors = {name: float((value - x).norm() / x.norm()) for name, value in dense.items()}
    shuffled = t_cur(x[:, :, order], case["rank"], transform=case["transform"]).to_dense()
    return {**errors, "shuffled": float((shuffled - x[:, :, order]).norm() / x.norm())}


def _by_crossing(chosen: TCUR, x: Tensor) -> Tensor:
    """The core of the released script: the inverse of the block where columns and rows cross."""
    kind = TRANSFORMS[chosen.transform]
    crossing = kind.forward(x[chosen.rows][:, chosen.columns]).permute(2, 0, 1)
    core = kind.inverse(torch.linalg.pinv(crossing).permute(1, 2, 0), x.shape[2])
    return t_product(t_product(chosen.left, core, chosen.transform), chosen.right, chosen.transform)
