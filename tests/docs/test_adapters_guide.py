"""What the guide to adapters shows is true: its blocks run, and its table names every kind."""

import re
from pathlib import Path
from typing import Any

from rankfold import adapters

GUIDE = (Path(__file__).parents[2] / "docs" / "adapters.md").read_text(encoding="utf-8")


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
