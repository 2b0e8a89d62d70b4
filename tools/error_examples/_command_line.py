"""Command lines that are refused."""

import numpy as np

from tools.error_examples._example import COMMANDS, Command


def _cube_with_gaps() -> None:
    cube = np.ones((4, 5, 6))
    cube[1, 2, 3] = np.nan
    np.save("cube.npy", cube)


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
]
