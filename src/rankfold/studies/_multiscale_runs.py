"""One classifier of the study of scales: trained on coarse signals and refined, or on fine ones from the start."""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rankfold.data import batches
from rankfold.layers import MPSClassifier, haar_coarsened
from rankfold.studies._digit_parts import digit_parts
from rankfold.studies._records import Case, Record
from rankfold.studies._study import Setting
from rankfold.training import evaluate

__all__ = ["morton_order", "refined_run", "scratch_run"]

_CLASSES, _FULL = 10, 64
_BATCH = 64

_Part = tuple[Tensor, Tensor]


def morton_order(side: int) -> Tensor:
    """Numbers of the pixels of a square image along the Z-order curve, so that neighbours in the signal are near.

    Arguments:
        side: a power of 2.

    Returns:
        ``(side ** 2,)`` positions in the image read row by row.

    Reference:
        Morton 1966, "A computer oriented geodetic data base and a new technique in file sequencing".

    Example:
        >>> morton_order(4).tolist()
        [0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15]
    """
    bits = side.bit_length() - 1
    place = torch.arange(side * side)
    row, column = torch.zeros_like(place), torch.zeros_like(place)
    for bit in range(bits):
        column += (place >> (2 * bit) & 1) << bit
        row += (place >> (2 * bit + 1) & 1) << bit
    return row * side + column


def refined_run(case: Case, setting: Setting) -> Record:
    """Train on the shortest signals, refine step by step, and train again at each length.

    Arguments:
        case: lengths, shortest first, rank of all bonds at the shortest, rate, epochs at each length, seed.
        setting: where the data is.

    Returns:
        By length the accuracy on held-out and test images after refining and after training there, the largest relative
        difference that refining made to the outputs, and the largest bond.
    """
    lengths, found = case["lengths"], []
    model = _classifier(lengths[0], case)
    generator = torch.Generator().manual_seed(case["seed"])
    exact: dict[str, float] = {}
    for number, length in enumerate(lengths):
        parts = _signals(setting.data_dir, length)
        before = None
        if number:
            coarse = _signals(setting.data_dir, lengths[number - 1])
            finer = model.refine()
            outputs, expected = (_outputs(one, part[2][0]) for one, part in ((finer, parts), (model, coarse)))
            exact = {"difference": float((outputs - expected).norm() / expected.norm())}
            before = evaluate(model, *coarse[2])[1]
            model = finer
        arrived = evaluate(model, *parts[2])[1]
        _fit(model, parts[0], case["rate"], case["epochs"], generator)
        found.append(
            {
                "length": length,
                "coarse": before,
                "arrived": arrived,
                "held out": evaluate(model, *parts[1])[1],
                "test": evaluate(model, *parts[2])[1],
                "bond": max(model.ranks),
                **exact,
            }
        )
    return {"scales": found}


def scratch_run(case: Case, setting: Setting) -> Record:
    """Train on signals of one length.

    Arguments:
        case: length, rank of all bonds, rate, epochs, seed.
        setting: where the data is.

    Returns:
        The accuracy on held-out and test images, and the largest bond.
    """
    parts = _signals(setting.data_dir, case["length"])
    model = _classifier(case["length"], case)
    _fit(model, parts[0], case["rate"], case["epochs"], torch.Generator().manual_seed(case["seed"]))
    held_out, test = evaluate(model, *parts[1])[1], evaluate(model, *parts[2])[1]
    return {"held out": held_out, "test": test, "bond": max(model.ranks)}


def _classifier(length: int, case: Case) -> MPSClassifier:
    generator = torch.Generator().manual_seed(case["seed"])
    return MPSClassifier(length, _CLASSES, rank=case["rank"], dtype=torch.float64, generator=generator)


def _signals(data_dir: Path | None, length: int) -> tuple[_Part, _Part, _Part]:
    """The images along the curve, coarsened to a length."""
    data, order = digit_parts(data_dir), morton_order(8)
    levels = (_FULL // length).bit_length() - 1

    def signal(part: _Part) -> _Part:
        images, labels = part
        return haar_coarsened(images.double().flatten(1)[:, order], levels), labels

    return signal(data.train), signal(data.held_out), signal(data.test)


def _fit(model: nn.Module, part: _Part, rate: float, epochs: int, generator: torch.Generator) -> None:
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    for _ in range(epochs):
        for x, y in batches(*part, _BATCH, generator=generator):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()


@torch.no_grad()
def _outputs(model: nn.Module, inputs: Tensor) -> Tensor:
    return model(inputs)
