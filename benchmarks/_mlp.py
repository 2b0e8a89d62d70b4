"""The multilayer perceptron of the step benchmarks, dense and in our layers."""

from torch import nn

from rankfold import factorize
from rankfold.models import MLP

__all__ = ["INPUT_SHAPE", "dense_mlp", "factorized_mlp"]

INPUT_SHAPE = (784,)


def dense_mlp() -> nn.Module:
    """784-1024-1024-1024-1024-10 with ReLU."""
    return MLP((784, 1024, 1024, 1024, 1024, 10))


def factorized_mlp(rank: int) -> nn.Module:
    """The same with every layer but the last one at a given rank."""
    model = dense_mlp()
    factorize(model, rank, exclude="layers.4", rescale=True)
    return model
