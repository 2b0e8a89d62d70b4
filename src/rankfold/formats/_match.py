"""How far two sets of components are the same."""

import torch

from rankfold._errors import ShapeError
from rankfold.formats._assignment import best_assignment
from rankfold.formats._cp import CP
from rankfold.formats._cp_forms import unit_columns

__all__ = ["factor_match_score"]


def factor_match_score(a: CP, b: CP) -> float:
    """Mean over the components of a of the product over modes of ``|cosine|`` with its partner in b.

    Each component of b is partner of one component of a at most, and the assignment is the best there is. Order,
    scale and signs of components do not matter, nor do their weights. If b has more components than a, the best
    ones are taken; if it has fewer, those of a without partner count 0, and so do components of norm zero.

    Arguments:
        a: the components to be found.
        b: those that were found, of the same shape.

    Returns:
        A number in [0, 1]; 1 where all components agree.

    Raises:
        ShapeError: the shapes differ.

    Reference:
        Acar, Dunlavy, Kolda and Mørup 2011, "Scalable tensor factorizations for incomplete data", section 4.1,
        without the penalty on weights.

    Example:
        >>> import torch
        >>> a = CP(torch.ones(2), (torch.eye(3, 2), torch.eye(4, 2)))
        >>> b = CP(torch.tensor([-5.0, 1.0]), (a.factors[0].flip(1), -a.factors[1].flip(1)))
        >>> factor_match_score(a, b)
        1.0
    """
    if a.shape != b.shape:
        raise ShapeError(
            f"factor_match_score: got shapes {a.shape} and {b.shape}; compare CP tensors of one shape."
        )
    products = torch.ones(a.rank, b.rank, dtype=torch.float64)
    (a_norms, _, a_units), (b_norms, _, b_units) = (unit_columns(t.weights, t.factors) for t in (a, b))
    for mine, theirs in zip(a_units, b_units, strict=True):
        products *= (mine.mT @ theirs.to(mine)).detach().abs().cpu()
    products *= torch.outer((a_norms > 0).cpu(), (b_norms > 0).cpu())
    if not a.rank or not b.rank:
        return 0.0
    pairs = best_assignment(products.tolist())
    return min(sum(float(products[row, column]) for row, column in pairs) / a.rank, 1.0)
