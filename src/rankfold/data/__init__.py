"""Image data sets, found or downloaded, checked, normalised and cut into minibatches; tensors from files."""

from rankfold.data._batches import batches
from rankfold.data._dataset import Dataset
from rankfold.data._datasets import DATASETS, DatasetInfo, load_dataset
from rankfold.data._tensor_files import TENSOR_FILES, open_tensor, read_tensor
from rankfold.data._tensor_source import TensorSource

__all__ = [
    "DATASETS",
    "TENSOR_FILES",
    "Dataset",
    "DatasetInfo",
    "TensorSource",
    "batches",
    "load_dataset",
    "open_tensor",
    "read_tensor",
]
