"""Published points of accuracy against compression, and where they were published."""

from dataclasses import dataclass

__all__ = ["PUBLISHED", "Published"]

_FIGURE = (
    "Zangrando et al. 2024, figure 1, read off the picture to 0.2 points of compression and 0.1 of accuracy"
)
_TABLE = "Schotthöfer et al. 2022, Low-rank lottery tickets, raw table in the authors' repository, mean of 5"


@dataclass(frozen=True, slots=True)
class Published:
    """One published curve.

    Arguments:
        network: name of the network in this study.
        method: name of the method in this study; ``matrix_dlrt`` is not one of its own.
        points: compression and test accuracy, both in percent.
        source: where it was published.
    """

    network: str
    method: str
    points: tuple[tuple[float, float], ...]
    source: str


PUBLISHED: tuple[Published, ...] = (
    Published("lenet5", "dense", ((0.0, 98.82),), _TABLE),
    Published(
        "lenet5",
        "matrix_dlrt",
        (
            (91.3, 98.16),
            (93.0, 98.21),
            (94.3, 97.87),
            (95.3, 98.14),
            (97.0, 98.12),
            (97.8, 97.45),
            (98.3, 95.97),
            (98.5, 94.07),
        ),
        _TABLE,
    ),
    Published("vgg16", "dense", ((0.0, 92.5),), _FIGURE),
    Published(
        "vgg16",
        "tdlrt",
        (
            (65.3, 91.0),
            (69.7, 91.0),
            (79.6, 90.65),
            (87.1, 90.4),
            (91.6, 90.5),
            (94.4, 90.25),
            (97.1, 88.8),
            (98.2, 88.0),
            (98.6, 87.0),
        ),
        _FIGURE,
    ),
    Published(
        "vgg16",
        "matrix",
        (
            (60.8, 91.1),
            (66.5, 91.0),
            (71.9, 90.9),
            (77.6, 90.2),
            (83.3, 89.65),
            (88.8, 88.75),
            (94.5, 84.5),
        ),
        _FIGURE,
    ),
    Published("vgg16", "tucker", ((61, 89.3), (75, 88.0), (84.2, 87.6), (91.4, 86.7), (96.7, 83.9)), _FIGURE),
    Published("vgg16", "cp", ((60, 84.0), (79, 83.7), (90, 82.5), (95, 79.4)), _FIGURE),
    Published("alexnet", "dense", ((0.0, 85.5),), _FIGURE),
    Published(
        "alexnet",
        "tdlrt",
        (
            (66.2, 83.2),
            (74.7, 83.0),
            (83.1, 82.4),
            (87.0, 80.8),
            (91.0, 74.5),
            (94.6, 69.7),
            (96.5, 60.0),
            (97.4, 57.2),
        ),
        _FIGURE,
    ),
    Published("alexnet", "matrix", ((68.2, 77.0), (78.9, 68.3), (84.1, 64.7)), _FIGURE),
    Published("alexnet", "tucker", ((60, 75.0), (69.7, 70.4), (80.5, 60.9), (84.7, 56.7)), _FIGURE),
    Published("alexnet", "cp", ((71.6, 76.2), (80.5, 62.8), (85, 54.7)), _FIGURE),
    Published("resnet18", "dense", ((0.0, 94.3),), _FIGURE),
    Published(
        "resnet18",
        "tdlrt",
        (
            (70.3, 92.8),
            (78.7, 92.7),
            (89.9, 92.0),
            (92.8, 91.75),
            (94.5, 91.0),
            (96.6, 90.25),
            (98.1, 88.7),
        ),
        _FIGURE,
    ),
    Published("resnet18", "matrix", ((66.2, 92.95), (77.5, 92.1), (88.8, 91.25), (94.5, 88.9)), _FIGURE),
    Published(
        "resnet18",
        "tucker",
        ((62.5, 91.55), (74, 91.1), (83.6, 90.2), (91.0, 89.4), (96.6, 88.7)),
        _FIGURE,
    ),
    Published(
        "resnet18", "cp", ((60, 92.1), (70.1, 91.9), (80.1, 91.5), (90.1, 90.9), (95.1, 89.4)), _FIGURE
    ),
)
