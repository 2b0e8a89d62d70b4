"""What a decomposition found, as tables and sentences."""

from math import prod

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from rankfold.decompose import Agreement, CPDecomposition, Decomposition, Degeneracy, RankStep
from rankfold.report._tables import empty_table, facts_table, sizes

__all__ = ["agreement_sentence", "components_table", "decomposition_report", "degeneracy_warning", "shares"]

_ROWS = 24  # of components on the terminal, about a screen; the files have all


def decomposition_report(result: Decomposition, title: str, how: str) -> RenderableType:
    """Error, rank and how sure it is, the components, and the ranks that were tried.

    Arguments:
        result: of any format.
        title: stands above.
        how: the rank of CP was come by, in words.
    """
    tensor = result.tensor
    facts: dict[str, object] = {"relative error": f"{result.relative_error:.4g}", "method": result.method}
    if not isinstance(result, CPDecomposition):
        stored = sum(part.numel() for part in tensor.tensors)
        facts["ranks"] = sizes(tensor.ranks)
        facts["numbers"] = f"{stored:,} instead of {prod(tensor.shape):,}"
        return facts_table(title, facts)
    facts["rank"] = f"{result.rank} ({how})"
    facts["how sure"] = agreement_sentence(result.agreement)
    if result.core_consistency is not None:
        facts["core consistency"] = f"{result.core_consistency:.1f} %"
    parts: list[RenderableType] = [facts_table(title, facts)]
    warning = degeneracy_warning(result.degeneracy)
    if warning is not None:
        parts.append(Text(warning, style="yellow"))
    parts.append(components_table(result))
    if result.rank_path:
        parts.append(_rank_path_table(result.rank_path, result.rank))
    return Group(*parts)


def agreement_sentence(agreement: Agreement) -> str:
    """How sure a result is, in words.

    Example:
        >>> agreement_sentence(Agreement(runs=5, agreeing=3, exact=False))
        'confirmed: 3 of 5 independent starts found these components'
    """
    if agreement.exact:
        return "certain: the fit is exact, no better one exists"
    if agreement.agreeing >= 2:
        return (
            f"confirmed: {agreement.agreeing} of {agreement.runs} independent starts found these components"
        )
    if agreement.runs == 1:
        return "not checked: one start only; more restarts would tell"
    return f"unsure: no two of {agreement.runs} independent starts agree; try more restarts or another rank"


def degeneracy_warning(degeneracy: Degeneracy) -> str | None:
    """A sentence if components nearly cancel, otherwise None."""
    if not degeneracy.suspected:
        return None
    return (
        f"warning: two components nearly cancel (cosine {degeneracy.smallest_cosine:.3f}, largest weight "
        f"{degeneracy.largest_weight:.3g} times the model); there may be no best fit at this rank: "
        "try a lower rank or nonnegative factors."
    )


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


def _rank_path_table(steps: tuple[RankStep, ...], chosen: int) -> Table:
    table = empty_table("Ranks tried")
    table.caption = "chosen by evidence: above 1, the last component is more than noise; BIC only to compare"
    table.caption_justify = "left"
    for name in ("rank", "relative error", "evidence", "BIC", ""):
        table.add_column(name, justify="right", no_wrap=True)
    for step in steps:
        mark = "chosen" if step.rank == chosen else ""
        table.add_row(
            str(step.rank), f"{step.relative_error:.4g}", f"{step.evidence:.3g}", f"{step.bic:,.1f}", mark
        )
    return table
