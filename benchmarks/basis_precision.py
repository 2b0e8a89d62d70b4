"""Accuracy of the augmented basis in float32 when the core is ill-conditioned.

A 64 x 48 matrix of rank 8 whose core is generic with singular values from 1 down to the smallest one. The exact
augmented space is span[U, G V], whatever the core. Two ways are compared: orthonormalising [U | dL/dU] as it comes from
autograd (the shortcut of the published code), and TDLRT's way, with the core brought to HOSVD form before the gradient.
"""

import torch
from torch import Tensor

from benchmarks._results import write_result
from rankfold import Tucker
from rankfold.testing import linear_loss_gradients
from rankfold.training import INTEGRATORS


def problem(smallest: float, seed: int = 0) -> tuple[Tucker, Tensor]:
    """A float32 matrix with a generic core of the given smallest singular value, and a dense gradient in float64."""
    generator = torch.Generator().manual_seed(seed)

    def orthonormal(rows: int, columns: int) -> Tensor:
        return torch.linalg.qr(torch.randn(rows, columns, generator=generator, dtype=torch.float64)).Q

    values = torch.logspace(0, torch.tensor(smallest).log10().item(), 8, dtype=torch.float64)
    core = orthonormal(8, 8) * values @ orthonormal(8, 8).mT
    tucker = Tucker(core.float(), (orthonormal(64, 8).float(), orthonormal(48, 8).float()))
    return tucker, torch.randn(64, 48, generator=generator, dtype=torch.float64)


def subspace_error(basis: Tensor, tucker: Tucker, gradient: Tensor) -> float:
    """Norm of the part of the exact space span[U, G V] that lies outside a basis, in float64."""
    left, right = (factor.double() for factor in tucker.factors if factor is not None)
    exact = torch.linalg.qr(torch.cat([left, gradient @ right], dim=1)).Q
    basis = torch.linalg.qr(basis.double()).Q
    return float(torch.linalg.matrix_norm(exact - basis @ (basis.mT @ exact), ord=2))


def errors(smallest: float) -> tuple[float, float]:
    """Subspace error of the shortcut and of TDLRT's way."""
    tucker, gradient = problem(smallest)
    raw = linear_loss_gradients(tucker, gradient.float())
    left = tucker.factors[0]
    assert left is not None
    shortcut = torch.linalg.qr(torch.cat([left, raw.factors[0]], dim=1)).Q
    rotated = tucker.rotate()
    given = linear_loss_gradients(rotated, gradient.float())
    (step,) = INTEGRATORS["augmented"].advance([rotated], [given], [0.1])
    ours = step.tucker.factors[0]
    assert ours is not None
    return subspace_error(shortcut, tucker, gradient), subspace_error(ours, tucker, gradient)


def main() -> None:
    """Print and write the table."""
    rows = []
    for smallest in (1e-2, 1e-4, 1e-6, 1e-8):
        shortcut, ours = errors(smallest)
        rows.append({"smallest_singular_value": smallest, "shortcut": shortcut, "tdlrt": ours})
        print(f"smallest singular value {smallest:.0e}: shortcut {shortcut:.1e}, TDLRT {ours:.1e}")
    write_result("basis_precision", {"rows": rows})


if __name__ == "__main__":
    main()
