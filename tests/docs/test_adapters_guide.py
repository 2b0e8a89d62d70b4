"""What the guide to adapters shows is true: its blocks run, its table names every kind, its figures are measured."""

import json
import re
from pathlib import Path
from typing import Any

from rankfold import adapters

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "adapters.md").read_text(encoding="utf-8")


def test_every_block_runs(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL):
        exec(block, names)
    assert "2 of 3 layers adapted" in capsys.readouterr().out
    assert (tmp_path / "lora" / "adapter_config.json").exists()


def test_the_table_names_every_kind() -> None:
    for kind in adapters.ADAPTERS.values():
        call = re.search(rf"`({kind.__name__}\([^`]*\))`", GUIDE)
        assert call, kind.__name__
        assert isinstance(eval(call[1], vars(adapters)), kind)


def test_the_comparison_is_that_of_the_result() -> None:
    record, steps = (
        json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text())
        for name in ("adapters_text", "adapters_step")
    )
    assert record["command"] == "python -m benchmarks.adapters_text"
    milliseconds = steps["milliseconds"]
    for side, values in record["summary"].items():
        runs = [row for row in record["rows"] if row["side"] == side]
        ranks = sorted(rank for run in runs for rank in run["ranks"])
        found = str(ranks[0]) if ranks[0] == ranks[-1] else f"{ranks[0]} to {ranks[-1]}"
        loss = f"{values['mean_loss']:.3f} ± {values['deviation']:.3f}"
        time = f"{milliseconds[side] / milliseconds['PEFT LoRA']:.2f}"
        cells = [side, f"{runs[0]['rate']:g}", loss, f"{values['parameters']:,}", found, time]
        assert f"| {' | '.join(cells)} |" in GUIDE
        # No side's best rate lies at the end of those that were tried.
        tried = sorted(map(float, record["tuning"][side]))
        assert tried[0] < runs[0]["rate"] < tried[-1]
    assert f"{record['setup']['steps']} steps" in GUIDE
    assert f"{record['not_adapted']:.2f}" in GUIDE
    ours = record["tuning"]["TDLRT adapters"]
    assert f"twice the best rate ours loses\n{ours['0.06'] - ours['0.03']:.2f}" in GUIDE
    assert f"at half of it {ours['0.015'] - ours['0.03']:.2f}" in GUIDE
