"""Lines of Python that go on from a compression: use it, measure its accuracy, fine-tune it."""

from rankfold.models import MODELS
from rankfold.report.page._compression_record import CompressionRecord

__all__ = ["accuracy_lines", "tuning_lines", "use_lines"]


def use_lines(record: CompressionRecord, file: str) -> str:
    """Load the compressed network and make plain torch layers of its factors.

    Arguments:
        record: of the compression.
        file: of the compressed network.
    """
    return "\n".join(
        (
            *_build(record),
            f"rankfold.load(model, {file!r})",
            "model = rankfold.fold(model).eval()",
        )
    )


def accuracy_lines(record: CompressionRecord, file: str) -> str:
    """The share of right answers of a classifier, for the dense network and the compressed one.

    Arguments:
        record: of the compression.
        file: of the compressed network.
    """
    call = "model(inputs)" if len(record.inputs) < 2 else "model(*inputs)"
    return "\n".join(
        (
            "import torch",
            *_build(record),
            f"for file in ({record.settings['weights']!r}, {file!r}):",
            "    rankfold.load(model, file)",
            "    model.eval()",
            "    with torch.no_grad():",
            f"        right = {call}.argmax(1) == labels",
            "    print(file, right.double().mean().item())",
        )
    )


def tuning_lines(record: CompressionRecord, file: str, epochs: int) -> str:
    """Compress the dense network again, and train the factors on data of the reader's own.

    Arguments:
        record: of the compression.
        file: to write.
        epochs: of training.
    """
    policy = record.settings["policy"]
    # The noise model of this policy does not allow calibration.
    calibrated = () if policy.startswith("evbmf") else ("    calibration=batches,",)
    return "\n".join(
        (
            *_build(record),
            f"rankfold.load(model, {record.settings['weights']!r})",
            "rankfold.compress(",
            "    model,",
            f"    rankfold.parse_policy({policy!r}, example_inputs=batches[0][0]),",
            *calibrated,
            f"    finetune=rankfold.FineTuning(batches=batches, epochs={epochs}),",
            "    fold=False,",
            ")",
            f"rankfold.save(model, {file!r})",
        )
    )


def _build(record: CompressionRecord) -> tuple[str, ...]:
    name = record.settings["model"]
    module, colon, built = name.partition(":")
    if colon and all(part.isidentifier() for part in (*module.split("."), *built.split("."))):
        return "import rankfold", f"import {module}", "", f"model = {module}.{built}()"
    shape = ""
    if name in MODELS and len(record.inputs) == 1:
        sizes = record.inputs[0].replace("x", ", ")
        usual = ", ".join(map(str, MODELS[name].input_shape))
        shape = "" if sizes == usual else f", input_shape=({sizes})"
    return (
        "import rankfold",
        "from rankfold.models import build_model",
        "",
        f"model = build_model({name!r}{shape})",
    )
