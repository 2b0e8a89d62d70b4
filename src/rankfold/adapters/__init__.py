"""Floor 4: adapters on frozen weights, to be trained, merged, and kept in files of their own."""

from rankfold.adapters._adapted import AdaptedLayer, adapted_layers
from rankfold.adapters._attach import ADAPTERS, Adapter, attach, detach, merge, unmerge
from rankfold.adapters._attachment import AttachedLayer, Attachment
from rankfold.adapters._change import Change
from rankfold.adapters._file import load_adapter, save_adapter
from rankfold.adapters._low_rank import LowRank, LowRankChange
from rankfold.adapters._orthogonal import Reflections, ReflectionsChange, Rotations, RotationsChange
from rankfold.adapters._peft import load_peft, save_peft
from rankfold.adapters._stacked import StackedCore, StackedCUR, StackedCURChange

__all__ = [
    "ADAPTERS",
    "AdaptedLayer",
    "Adapter",
    "AttachedLayer",
    "Attachment",
    "Change",
    "LowRank",
    "LowRankChange",
    "Reflections",
    "ReflectionsChange",
    "Rotations",
    "RotationsChange",
    "StackedCUR",
    "StackedCURChange",
    "StackedCore",
    "adapted_layers",
    "attach",
    "detach",
    "load_adapter",
    "load_peft",
    "merge",
    "save_adapter",
    "save_peft",
    "unmerge",
]
