"""Everything a decomposition says, as plain values for JSON."""

from dataclasses import asdict
from math import isfinite
from typing import Any

from rankfold.decompose import CPDecomposition, Decomposition
from rankfold.report._decomposition import shares

__all__ = ["decomposition_summary"]


def decomposition_summary(result: Decomposition, observed: int | None = None) -> dict[str, Any]:
    """Shape, ranks, error, method and trace; of CP also weights, agreement, degeneracy and the ranks tried.

    Arguments:
        result: of any format.
        observed: entries of the tensor that are known, None where all are.

    Numbers that are not finite become None, because JSON knows none.
    """
    tensor = result.tensor
    summary: dict[str, Any] = {
        "shape": list(tensor.shape),
        "dtype": str(tensor.tensors[0].dtype).removeprefix("torch."),
        "ranks": list(tensor.ranks),
        "relative_error": result.relative_error,
        "method": result.method,
    }
    if observed is not None:
        summary["observed"] = observed
    if isinstance(result, CPDecomposition):
        summary |= {
            "rank": result.rank,
            "weights": tensor.weights.tolist(),
            "shares": shares(result),
            "agreement": {
                **asdict(result.agreement),
                "reached": result.agreement.reached,
                "sentence": result.agreement.sentence,
            },
            "degeneracy": {
                **asdict(result.degeneracy),
                "suspected": result.degeneracy.suspected,
                "warning": result.degeneracy.warning,
            },
            "core_consistency": result.core_consistency,
            "rank_path": [asdict(step) for step in result.rank_path],
        }
    summary["trace"] = [asdict(point) for point in result.trace]
    return _finite(summary)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not isfinite(value) else value
