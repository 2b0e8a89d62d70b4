"""Image data sets: found or downloaded, checked, normalised, and cut into minibatches."""

from rankfold.data._batches import batches
from rankfold.data._dataset import Dataset
from rankfold.data._datasets import DATASETS, DatasetInfo, load_dataset

__all__ = ["DATASETS", "Dataset", "DatasetInfo", "batches", "load_dataset"]
