"""What a decomposition found, as tables and sentences."""

from math import prod

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from rankfold.decompose import CPDecomposition, Decomposition, RankStep
from rankfold.report._tables import empty_table, facts_table, sizes

__all__ = ["components_table", "decomposition_report", "shares"]

_ROWS = 24  # of components on the terminal, about a screen; the files have all


def decomposition_report(
    result: Decomposition, title: str, how: str, observed: int | None = None
) -> RenderableType:
    """Error, rank and how sure it is, the components, and the ranks that were tried.

    Arguments:
        result: of any format.
        title: stands above.
        how: the rank of CP was come by, in words.
        observed: entries of the tensor that are known, None where all are.
    """
    tensor = result.tensor
    facts: dict[str, str] = {"relative error": f"{result.relative_error:.4g}", "method": result.method}
    whole = prod(tensor.shape)
    if observed is not None and observed < whole:
        missing = whole - observed
        facts["missing"] = f"{missing:,} of {whole:,} entries ({missing / whole:.1%})"
        facts["relative error"] += ", of the observed entries"
    if not isinstance(result, CPDecomposition):
        stored = sum(part.numel() for part in tensor.tensors)
        facts["ranks"] = sizes(tensor.ranks)
        facts["numbers"] = f"{stored:,} instead of {whole:,}"
        return facts_table(title, facts)
    facts["rank"] = f"{result.rank} ({how})"
    facts["how sure"] = result.agreement.sentence
    if result.core_consistency is not None:
        facts["core consistency"] = f"{result.core_consistency:.1f} %"
    parts: list[RenderableType] = [facts_table(title, facts)]
    warning = result.degeneracy.warning
    if warning is not None:
        parts.append(Text(warning, style="yellow"))
    parts.append(components_table(result))
    if result.rank_path:
        parts.append(_rank_path_table(result.rank_path, result.rank, observed is not None))
    return Group(*parts)


def shares(result: CPDecomposition) -> list[float]:
    """Squared weight of each component over the sum of them all."""
    squares = (result.tensor.weights.double() ** 2).tolist()
    total = sum(squares)
    return [square / total if total else 0.0 for square in squares]


def components_table(result: CPDecomposition) -> Table:
    """Weight and share of each component, the largest first."""
    table = empty_table("Components")
    for name in ("component", "weight", "share"):
        table.add_column(name, justify="right", no_wrap=True)
    rows = list(zip(result.tensor.weights.tolist(), shares(result), strict=True))
    for number, (weight, share) in enumerate(rows[:_ROWS], 1):
        table.add_row(str(number), f"{weight:.4g}", f"{share:.1%}")
    if len(rows) > _ROWS:
        table.add_row(f"{len(rows) - _ROWS} more", "", f"{sum(share for _, share in rows[_ROWS:]):.1%}")
    return table


def _rank_path_table(steps: tuple[RankStep, ...], chosen: int, masked: bool) -> Table:
    table = empty_table("Ranks tried")
    table.caption = (
        "chosen by evidence: above 1, the last component "
        f"{'predicts held-out entries better' if masked else 'is more than noise'}; BIC only to compare; errors are "
        f"of the search{', which holds out a tenth of the entries' if masked else ''}"
    )
    table.caption_justify = "left"
    for name in ("rank", "relative error", "evidence", "BIC", ""):
        table.add_column(name, justify="right", no_wrap=True)
    for step in steps:
        mark = "chosen" if step.rank == chosen else ""
        table.add_row(
            str(step.rank), f"{step.relative_error:.4g}", f"{step.evidence:.3g}", f"{step.bic:,.1f}", mark
        )
    return table
