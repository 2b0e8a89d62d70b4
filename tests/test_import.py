import subprocess
import sys

SCRIPT = """
import sys
import torch
before = set(sys.modules)
import rankfold
print(*sorted(set(sys.modules) - before))
"""

HEAVY = (
    "scipy",
    "sklearn",
    "tensorly",
    "rich",
    "tyro",
    "pytest",
    "hypothesis",
    "torch._dynamo",
    "torch._inductor",
    "torch.onnx",
    "onnx",
    "onnxruntime",
    "rankfold.export",
    "rankfold.cli",
    "rankfold.data",
    "rankfold.models",
    "rankfold.testing",
)


def test_import_brings_no_heavy_modules() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    new = done.stdout.split()
    assert "rankfold.layers" in new
    assert [name for name in new for heavy in HEAVY if name == heavy or name.startswith(f"{heavy}.")] == []
