"""Files that are missing, damaged or of another model."""

from pathlib import Path

import torch
from torch import nn

import rankfold as rf
from rankfold import CheckpointError, DataError
from tools.error_examples._example import shows


@shows(CheckpointError)
def missing_file() -> None:
    """Loading a file that is not there."""
    rf.load(nn.Sequential(nn.Linear(20, 10)), "net.safetensors")


@shows(CheckpointError)
def changed_byte() -> None:
    """Loading a file in which one byte was changed on the way."""
    model = nn.Sequential(nn.Linear(20, 10))
    rf.save(model, "net.safetensors")
    content = bytearray(Path("net.safetensors").read_bytes())
    content[-1] ^= 1
    Path("net.safetensors").write_bytes(content)
    rf.load(model, "net.safetensors")


@shows(CheckpointError)
def pickle() -> None:
    """Loading a file of torch.save, which could run code."""
    model = nn.Sequential(nn.Linear(20, 10))
    torch.save(model.state_dict(), "net.pt")
    rf.load(model, "net.pt")


@shows(CheckpointError)
def another_model() -> None:
    """Loading the file of another model."""
    rf.save(nn.Sequential(nn.Linear(20, 10)), "net.safetensors")
    rf.load(nn.Sequential(nn.Linear(20, 12), nn.ReLU(), nn.Linear(12, 10)), "net.safetensors")


@shows(CheckpointError)
def another_optimiser() -> None:
    """Resuming with an optimiser of another class."""
    model = nn.Sequential(nn.Linear(20, 10))
    rf.save(model, "run.safetensors", optimizer=torch.optim.SGD(model.parameters(), lr=0.1))
    rf.load(model, "run.safetensors", optimizer=torch.optim.AdamW(model.parameters()))


@shows(CheckpointError)
def no_such_folder() -> None:
    """Saving into a folder that does not exist."""
    rf.save(nn.Linear(20, 10), "results/net.safetensors")


@shows(DataError)
def unknown_kind_of_file() -> None:
    """Reading a tensor from a file of unknown kind."""
    from rankfold.data import read_tensor

    read_tensor(Path("table.xlsx"))


@shows(DataError)
def ragged_table() -> None:
    """Reading a table whose lines have different lengths."""
    from rankfold.data import read_tensor

    Path("table.csv").write_text("1,2,3\n4,5\n", encoding="utf-8")
    read_tensor(Path("table.csv"))


@shows(DataError)
def no_folder_of_data() -> None:
    """Looking for a data set in a folder that is not there."""
    from rankfold.data import load_dataset

    load_dataset("mnist", data_dir="data")
