"""One training of the study of calibrated starts: a deep ReLU network on digits at one learning rate."""

import torch
import torch.nn.functional as F
from torch import nn

from rankfold._errors import OptionError
from rankfold.init import calibrate
from rankfold.studies._digits import PIXELS, digits, fit, perceptron
from rankfold.studies._hessian_init_exact import draw_he
from rankfold.studies._records import Case, Record
from rankfold.studies._study import Setting
from rankfold.training import evaluate

__all__ = ["STARTS", "train"]

# How weights are drawn, and what all blocks of the Hessian shall have as their norm: nothing, one value, or 1.
STARTS = {
    "he": ("He", "he", None),
    "he equal": ("He, blocks made equal", "he", "equal"),
    "he one": ("He, blocks made 1", "he", "one"),
    "torch": ("nn.Linear", "torch", None),
    "torch equal": ("nn.Linear, blocks made equal", "torch", "equal"),
    "torch one": ("nn.Linear, blocks made 1", "torch", "one"),
}
_BATCH = 256  # that the curvature is measured on


def train(case: Case, setting: Setting) -> Record:
    """Draw, calibrate, train, measure.

    Arguments:
        case: layers, width, start, rate, epochs, seed.
        setting: where.

    Returns:
        Accuracies in percent, the norms of the blocks before and after calibration by their largest and least, and the
        change of the outputs by it, relative. A training that broke down is a guess, and so is a start that cannot be
        calibrated, because the loss saturates before its blocks have the norm.
    """
    _, drawn, goal = STARTS[case["start"]]
    data = digits(setting.data_dir)
    torch.manual_seed(case["seed"])
    model = perceptron(PIXELS, *[case["width"]] * (case["layers"] - 1), 10)
    if drawn == "he":
        draw_he(model)
    inputs, labels = (part[:_BATCH] for part in data.train)
    record: Record = {"before": None, "after": None, "function": None, "refused": False}
    if goal is not None:
        with torch.no_grad():
            expected = model(inputs)
        try:
            rows = calibrate(
                [layer for layer in model if isinstance(layer, nn.Linear)],
                lambda: F.cross_entropy(model(inputs), labels),
                target=1.0 if goal == "one" else None,
                iterations=20,
                generator=torch.Generator().manual_seed(case["seed"]),
            )
        except OptionError:
            return {**record, "refused": True, "held out": 10.0, "test": 10.0}
        with torch.no_grad():
            changed = float((model(inputs) - expected).norm() / expected.norm())
        record |= {
            "before": [max(row.before for row in rows), min(row.before for row in rows)],
            "after": [max(row.after for row in rows), min(row.after for row in rows)],
            "function": changed,
        }
    optimizer = torch.optim.SGD(model.parameters(), lr=case["rate"], momentum=0.9)
    finite = fit(model, data.train, optimizer, epochs=case["epochs"], batch_size=64, seed=case["seed"])
    accuracies = {
        name: 100 * evaluate(model, *part)[1] if finite else 10.0
        for name, part in (("held out", data.held_out), ("test", data.test))
    }
    return {**record, **accuracies}
