"""Tensors and ranks that do not belong together."""

import torch

import rankfold as rf
from rankfold import NonFiniteError, RankError, ShapeError
from tools.error_examples._example import shows


@shows(ShapeError)
def whole_numbers() -> None:
    """Decomposing counts that are stored as whole numbers."""
    counts = torch.ones(4, 5, 6, dtype=torch.int64)
    rf.cp(counts, 2)


@shows(ShapeError)
def mask_of_another_shape() -> None:
    """Passing a mask of another shape."""
    cube = torch.rand(4, 5, 6)
    rf.cp(cube, 2, mask=torch.ones(4, 5, dtype=torch.bool))


@shows(ShapeError)
def an_empty_slice() -> None:
    """Leaving a slice without any observed entry."""
    cube = torch.rand(4, 5, 6)
    cube[:, 2] = float("nan")
    rf.cp(cube, 2, mask="nan")


@shows(ShapeError)
def factors_of_different_width() -> None:
    """Building a CP tensor from factors of different width."""
    rf.CP(torch.ones(3), (torch.ones(4, 3), torch.ones(5, 2)))


@shows(RankError)
def more_components_than_possible() -> None:
    """Asking for more components than any tensor of this shape has."""
    rf.cp(torch.rand(4, 5, 6), 100)


@shows(RankError)
def rank_above_the_matrix() -> None:
    """Building a layer with a rank above its smaller side."""
    rf.layers.Linear(in_features=8, out_features=5, rank=6)


@shows(RankError)
def algebraic_above_a_dimension() -> None:
    """Taking a method that cannot have such a rank."""
    rf.cp(torch.rand(4, 5, 6), 6, method="algebraic")


@shows(NonFiniteError)
def gaps_without_a_mask() -> None:
    """Decomposing data with gaps without saying that they are gaps."""
    cube = torch.rand(4, 5, 6)
    cube[1, 2, 3] = float("nan")
    rf.cp(cube, 2)
