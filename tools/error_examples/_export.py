"""Models that cannot be exported."""

import torch
from torch import Tensor, nn

import rankfold as rf
from rankfold import ExportError
from tools.error_examples._example import shows


@shows(ExportError, quotes=True)
def inputs_of_another_shape() -> None:
    """Exporting with inputs that the model does not take."""
    rf.export_program(nn.Linear(6, 4), torch.ones(2, 5), "net.pt2")


@shows(ExportError)
def random_outputs() -> None:
    """Exporting a model that draws random numbers in evaluation."""

    class Net(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.dropout(x, training=True)

    rf.export_program(Net(), torch.ones(2, 6), "net.pt2")


@shows(ExportError)
def nan_outputs() -> None:
    """Exporting with inputs for which the model itself gives NaN."""

    class Net(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.log()

    rf.export_program(Net(), -torch.ones(2, 6), "net.pt2")


@shows(ExportError, quotes=True)
def fixed_batch() -> None:
    """Exporting a model that takes one batch size only."""

    class Net(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.reshape(2, 3, 2)

    rf.export_program(Net(), torch.ones(2, 6), "net.pt2")
