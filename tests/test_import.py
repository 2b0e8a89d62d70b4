import subprocess
import sys

import pytest

SCRIPT = """
import sys
import torch
before = set(sys.modules)
from rankfold import TDLRT, factorize
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
    "rankfold._display",
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


def test_a_bare_import_waits_for_nothing() -> None:
    script = (
        "import sys, rankfold; print('torch' in sys.modules, rankfold.TDLRT.__name__, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "TDLRT", "True"]


@pytest.mark.parametrize("collecting", [True, False])
def test_the_garbage_collector_is_left_as_it_was(collecting: bool) -> None:
    script = (
        f"import gc, rankfold; {'' if collecting else 'gc.disable(); '}rankfold.TDLRT; print(gc.isenabled())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(collecting)]


def test_packages_are_attributes_without_an_import_of_their_own() -> None:
    names = ["convert", "decompose", "formats", "layers", "linalg", "ranks", "training"]
    # Each in a process that has not imported rankfold yet; all have torch from the one they are forked from.
    script = f"""
import os, torch
for name in {names}:
    if not os.fork():
        import rankfold
        print(getattr(rankfold, name).__name__, flush=True)
        os._exit(0)
    assert os.wait()[1] == 0
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [f"rankfold.{name}" for name in names]
