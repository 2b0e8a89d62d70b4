"""Command lines that are refused."""

from pathlib import Path

import numpy as np
from safetensors.torch import save_file
from torch import nn

from tools.error_examples._example import COMMANDS, Command


def _cube_with_gaps() -> None:
    cube = np.ones((4, 5, 6))
    cube[1, 2, 3] = np.nan
    np.save("cube.npy", cube)


def _own_network() -> None:
    Path("mynet.py").write_text(
        "from torch import nn\n\n\ndef network():\n    return nn.Sequential(nn.Linear(8, 4))\n",
        encoding="utf-8",
    )
    save_file(nn.Sequential(nn.Linear(8, 4)).state_dict(), "net.safetensors")


def _made_before() -> None:
    _own_network()
    Path("net-compressed.safetensors").touch()


COMMANDS += [
    Command(("train", "--integrator", "euler"), "Mistyping a name"),
    Command(("train", "--tolerance", "1.5"), "Giving a flag a number out of range"),
    Command(("inspect", "run"), "Naming a run that is not there"),
    Command(("train", "--resume", "run"), "Going on with a run that is not there"),
    Command(("decompose", "cube.npy"), "Decomposing data with gaps", _cube_with_gaps),
    Command(
        ("compress", "net.safetensors", "--model", "resnet21", "--policy", "energy=0.9"),
        "Naming an unknown network",
    ),
    Command(
        ("compress", "net.safetensors", "--model", "mynet:network"),
        "Compressing a network of your own without data",
        _own_network,
    ),
    Command(
        ("compress", "net.safetensors", "--model", "mynet:network", "--input-shape", "8"),
        "Compressing once more",
        _made_before,
    ),
]
