"""A value whose tensors share its norm, instead of one that holds it all."""

import torch
from torch import Tensor

from rankfold._errors import OptionError
from rankfold.formats import CP, Format, Tucker

__all__ = ["balanced"]

# Below this share of the largest, a singular value in float64 is rounding, and dividing by its root would blow it up.
_ROUNDING = 1e-14


def balanced(value: Format) -> Format:
    """The same tensor with every singular value shared evenly by the tensors on both sides of its rank index.

    Of a matrix ``U S Vᵀ`` in two parts this is ``(U √S) (√S Vᵀ)``, whose Gram matrices are equal, and in three parts
    the cube roots of S; of a train ``√S`` stands on both sides of every bond, and components of a CP tensor get columns
    of equal norm. Zero stays zero; singular values that are rounding are left where they are.

    Arguments:
        value: in any format.

    Returns:
        A value of the same format and dtype; a rank beyond what the others allow is lowered.

    Raises:
        OptionError: it is no such value.

    Reference:
        Khodak et al. 2021, "Initialization and regularization of factorized neural layers", section 3; for trains
        Vidal 2003, "Efficient classical simulation of slightly entangled quantum computations".

    Example:
        >>> import torch
        >>> from rankfold import TT
        >>> train = balanced(TT((torch.full((1, 4, 1), 4.0), torch.ones(1, 4, 1))))
        >>> [round(float(torch.linalg.vector_norm(core)), 4) for core in train.cores]
        [4.0, 4.0]
    """
    if not isinstance(value, Format):
        raise OptionError(
            f"balanced: got a {type(value).__name__}; pass a value in a format, such as a Tucker tensor."
        )
    work = value.to(dtype=torch.float64)
    if isinstance(work, CP):
        return work.balance().to(dtype=value.dtype)
    form = work.canonicalize()
    share = 1 / (len(form.modes) + 1) if isinstance(form, Tucker) else 0.5
    tensors = list(form.tensors)
    for axis, ((inner, inner_axis), (outer, outer_axis)) in form._latent_places().items():
        strength = _singular_values(form, axis)
        significant = strength > _ROUNDING * strength.amax()
        root = torch.where(significant, strength, 1.0) ** share
        tensors[inner] = tensors[inner] / _along(root, tensors[inner], inner_axis)
        tensors[outer] = tensors[outer] * _along(root, tensors[outer], outer_axis)
    return form._rebuilt(tensors).to(dtype=value.dtype)


def _along(vector: Tensor, tensor: Tensor, axis: int) -> Tensor:
    return vector.view(-1, *[1] * (tensor.ndim - 1 - axis))


def _singular_values(form: Format, axis: str) -> Tensor:
    """Norms of the terms of a canonical form, which are orthogonal: <T_j, W> = ||T_j||²."""
    scale = torch.ones(form.latent_axes()[axis], dtype=torch.float64, device=form.device, requires_grad=True)
    with torch.enable_grad():
        product = form.scale_latent(axis, scale).inner(form)
    (squares,) = torch.autograd.grad(product, scale)
    return squares.clamp_min(0).sqrt()
