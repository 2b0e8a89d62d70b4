"""Models and training states as safetensors files with ranks in the header; no pickle."""

from rankfold._atomic import atomic_path
from rankfold._checkpoint._checkpoints import Checkpoints, RestoredCheckpoint
from rankfold._checkpoint._layouts import read_layouts
from rankfold._checkpoint._load import load
from rankfold._checkpoint._save import save
from rankfold._checkpoint._tree import load_state, save_state

__all__ = [
    "Checkpoints",
    "RestoredCheckpoint",
    "atomic_path",
    "load",
    "load_state",
    "read_layouts",
    "save",
    "save_state",
]
