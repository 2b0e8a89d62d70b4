"""Floor 4: trainers and formats of other packages, each imported when it is asked for."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rankfold.integrations._lightning import LightningCallback
    from rankfold.integrations._tensorly import from_tensorly, to_tensorly
    from rankfold.integrations._tltorch import from_tltorch, to_tltorch
    from rankfold.integrations._transformers import attach_tdlrt

__all__ = [
    "LightningCallback",
    "attach_tdlrt",
    "from_tensorly",
    "from_tltorch",
    "to_tensorly",
    "to_tltorch",
]

_PLACE_OF = {
    "LightningCallback": "_lightning",
    "attach_tdlrt": "_transformers",
    "from_tensorly": "_tensorly",
    "from_tltorch": "_tltorch",
    "to_tensorly": "_tensorly",
    "to_tltorch": "_tltorch",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_PLACE_OF[name]}"), name)
    globals()[name] = value  # the next look finds it at once
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
