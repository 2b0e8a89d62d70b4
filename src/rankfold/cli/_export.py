"""``rankfold export``."""

import rankfold
from rankfold.cli._console import make_console
from rankfold.cli._export_config import ExportConfig
from rankfold.cli._input_shapes import example_inputs, read_input_shapes
from rankfold.cli._model_source import load_network
from rankfold.report import facts_table, sizes

__all__ = ["export"]


def export(config: ExportConfig) -> None:
    """Build a network, load its weights, write it folded, and report how far the file is from it.

    Arguments:
        config: checked settings.

    Raises:
        RankfoldError: the network or the file cannot be read, exported or written.
    """
    assert config.output is not None
    shapes = read_input_shapes(config.model, config.input_shape)
    network = load_network(config.model, config.weights, input_shape=shapes[0].sizes)
    # Two rows, because PyTorch would take a single one for a constant.
    inputs = example_inputs(shapes, network, config.fixed_batch or 2)
    dynamic = config.fixed_batch is None
    if config.format == "onnx":
        record = rankfold.export_onnx(
            network,
            inputs,
            config.output,
            dynamic_batch=dynamic,
            opset=config.opset,
            tolerance=config.tolerance,
        )
    else:
        record = rankfold.export_program(
            network, inputs, config.output, dynamic_batch=dynamic, tolerance=config.tolerance
        )
    facts = {
        "format": "program of torch.export" if record.opset is None else f"ONNX, opset {record.opset}",
        "size": f"{record.size_bytes:,} bytes",
        "inputs": ", ".join(f"{str(x.dtype).removeprefix('torch.')} {sizes(x.shape[1:])}" for x in inputs),
        "batch": "any size" if record.dynamic_batch else f"{config.fixed_batch} rows",
        "compared on batches of": ", ".join(map(str, record.batch_sizes)),
        "largest difference": f"{record.absolute_difference:.3g}",
        "relative to the output": f"{record.relative_difference:.3g} (allowed {record.tolerance:.3g})",
    }
    make_console().print(facts_table(str(record.path), facts))
