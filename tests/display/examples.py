"""Values of every kind that show themselves, and names that mean harm."""

from pathlib import Path

import torch
from torch import nn

from rankfold import (
    CP,
    TT,
    Budget,
    CompressedLayer,
    Compression,
    Conversion,
    ConvertedLayer,
    CPDecomposition,
    Decomposition,
    ExportRecord,
    Tucker,
    compress,
    cp,
    factorize,
    tt,
    tucker,
)
from rankfold.convert import Timings
from rankfold.decompose import Agreement, Degeneracy, RankStep, TracePoint

HOSTILE = (
    "<script>document.title='owned'</script>",
    "\"'><img src=x onerror=\"document.title='owned'\">",
    "</title></svg></style></td></table></div><b>&amp;&lt;",
    "layer" * 100,
    "סדר.שכבה",
    "conv\u202e1gnihton\u2066",
    "nul\x00 bell\x07 \x1b[31mred\x1b[0m lone\ud800",
    "two\nlines\tand a tab",
    "[bold]{{ 7 * 7 }}{% raw %}[/bold]",
    "模型·層·🙂",
    "",
)


def cube(seed=0):
    draw = torch.Generator().manual_seed(seed)
    factors = [torch.rand(n, 3, generator=draw, dtype=torch.float64) for n in (12, 10, 8)]
    noise = torch.randn(12, 10, 8, generator=draw, dtype=torch.float64)
    return torch.einsum("ir,jr,kr->ijk", *factors) + 0.01 * noise


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 10), nn.Linear(10, 1))


def compressed(**options):
    model = network()
    return compress(model, Budget(params=0.7), calibration=[torch.randn(32, 3, 4, 4)], **options)


def conversion(*names, layers=1):
    names = names or tuple(f"blocks.{number}.conv" for number in range(layers))
    rows = []
    for number, name in enumerate(names):
        left = number % 5 == 4
        rows.append(
            ConvertedLayer(
                name=name,
                kind=name,
                shape=(64, 32, 3, 3),
                ranks=None if left else (16, 8, 3, 3),
                parameters_before=18432,
                parameters_after=18432 if left else 2432,
                reason=f"shares its weight with {name}" if left or len(names) == 1 else None,
            )
        )
    return Conversion(tuple(rows), parity_error=1e-7, output_change=0.03)


def compression(*names):
    rows = tuple(
        CompressedLayer(
            name=name,
            kind=name,
            shape=(64, 32),
            parameters_before=2048,
            parameters_after=2048,
            reason=f"shares its weight with {name}",
        )
        for name in names
    )
    return Compression(layers=rows, parameters_before=2048, parameters_after=2048)


def found(error=0.1, *, method="als", steps=3, points=4, weights=(2.0, 1.0)):
    """A result of every thinkable number."""
    rank = len(weights)
    return CPDecomposition(
        tensor=CP(torch.tensor(weights), (torch.eye(4, rank), torch.eye(5, rank))),
        relative_error=error,
        method=method,
        trace=tuple(TracePoint(0.1 * at, error, method, rank) for at in range(points)),
        agreement=Agreement(5, 1, False),
        degeneracy=Degeneracy(1e6, -0.999),
        core_consistency=error,
        rank_path=tuple(RankStep(step, error, error, error) for step in range(1, steps + 1)),
    )


def record(path="net.onnx", **changes):
    facts = {
        "format": "onnx",
        "size_bytes": 12345,
        "absolute_difference": 1e-6,
        "relative_difference": 2e-7,
        "tolerance": 1e-4,
        "batch_sizes": (1, 4),
        "dynamic_batch": True,
        "opset": 18,
    }
    return ExportRecord(Path(path), **{**facts, **changes})


EXAMPLES = {
    "tucker": lambda: Tucker.from_dense(cube(), ranks=(6, 5, 4)),
    "tucker in bfloat16": lambda: Tucker.from_dense(cube(), ranks=3).to(dtype=torch.bfloat16),
    "matrix": lambda: Tucker.from_dense(cube().flatten(1), tolerance=1e-6),
    "tucker with a mode left": lambda: Tucker.from_dense(cube(), ranks=2, modes=[1]),
    "tucker without factors": lambda: Tucker(cube(), (None, None, None)),
    "tucker of rank 0": lambda: Tucker(torch.ones(2, 0), (torch.ones(4, 2), torch.ones(5, 0))),
    "tucker without entries": lambda: Tucker(torch.ones(0, 2), (torch.ones(0, 0), None)),
    "zero": lambda: Tucker(torch.zeros(2, 2), (torch.ones(4, 2), None)),
    "nan": lambda: Tucker(torch.full((2, 2), torch.nan), (torch.ones(4, 2), None)),
    "cp": lambda: cp(cube(), 3, generator=0).tensor,
    "cp of rank 0": lambda: CP(torch.ones(0), (torch.ones(4, 0), torch.ones(5, 0))),
    "cp of many components": lambda: CP(torch.rand(500), (torch.rand(9, 500), torch.rand(7, 500))),
    "cp with nan": lambda: CP(torch.tensor([1.0, torch.nan]), (torch.ones(4, 2), torch.ones(5, 2))),
    "tt": lambda: TT.from_dense(cube(), tolerance=1e-3),
    "tt of many modes": lambda: TT((torch.rand(1, 10, 1),) * 400),
    "meta": lambda: TT.from_dense(cube(), tolerance=1e-3).to(device="meta"),
    "float16": lambda: CP(torch.ones(2), (torch.ones(4, 2), torch.ones(5, 2))).to(dtype=torch.float16),
    "conversion": lambda: factorize(network(), 0.5, example_inputs=torch.randn(2, 3, 4, 4)),
    "conversion of nothing": lambda: Conversion(()),
    "compression": compressed,
    "compression without calibration": lambda: compress(network(), 0.5),
    "compression of nothing": lambda: Compression(layers=(), parameters_before=0, parameters_after=0),
    "cp, rank found": lambda: cp(cube(), generator=0),
    "cp, rank given": lambda: cp(cube(), 2, generator=0),
    "cp of a sparse tensor": lambda: cp(torch.eye(6).unsqueeze(2).to_sparse(), 6, generator=0),
    "cp of gaps": lambda: cp(
        torch.where(cube() < 0.4, torch.nan, cube())[:6, :5], 1, mask="nan", generator=0
    ),
    "tucker result": lambda: tucker(cube(), 3),
    "tucker of zeros": lambda: tucker(torch.zeros(3, 4), tolerance=0.1),
    "tt result": lambda: tt(cube(), tolerance=0.1),
    "result with nan": lambda: found(float("nan"), weights=(float("nan"),)),
    "result with infinity": lambda: found(float("inf")),
    "result of zero": lambda: found(0.0, weights=()),
    "result of nothing tried": lambda: found(steps=0, points=0),
    "tucker result without a trace": lambda: Decomposition(Tucker(cube(), (None,) * 3), 0.0, "none"),
    "onnx": record,
    "torch program": lambda: record("net.pt2", format="torch", opset=None, dynamic_batch=False),
    "timings": lambda: Timings(((0.1, 0.11, 0.12), (0.2, 0.19, 0.3))),
}
