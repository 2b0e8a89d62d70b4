"""The public names, without the packages behind them: importing the package brings none of these."""

import subprocess
import sys

import pytest

from rankfold import integrations

NAMES = ["LightningCallback", "attach_tdlrt", "from_tensorly", "from_tltorch", "to_tensorly", "to_tltorch"]


def test_names_are_exactly_these() -> None:
    assert integrations.__all__ == NAMES
    assert dir(integrations) == sorted(NAMES)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        integrations.nothing  # pyright: ignore


def test_each_is_imported_when_it_is_asked_for_and_its_absence_is_told_in_words() -> None:
    script = """
import sys
sys.modules |= dict.fromkeys(["lightning", "pytorch_lightning", "transformers", "tltorch"])  # as if not installed
from rankfold import integrations
print(integrations.from_tensorly(([1.0], [[[1.0]], [[2.0]]])).to_dense().item())
for name in ("LightningCallback", "attach_tdlrt", "to_tltorch"):
    try:
        getattr(integrations, name)
    except ImportError as error:
        print(error)
print([name for name in ("tensorly", "torchmetrics", "accelerate") if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    value, *sentences, others = done.stdout.splitlines()
    assert value == "2.0"
    assert others == "[]"
    wanted = ("'rankfold[lightning]'.", "'rankfold[transformers]'.", "tensorly-torch tensorly.")
    assert all(sentence.endswith(end) for sentence, end in zip(sentences, wanted, strict=True))
