"""The linear assignment problem."""

from collections.abc import Sequence

import numpy as np

__all__ = ["best_assignment"]


def best_assignment(gains: Sequence[Sequence[float]]) -> list[tuple[int, int]]:
    """Pair rows with columns, each at most once, so that the sum of the gains is largest.

    Arguments:
        gains: ``(rows, columns)``, finite, one of each at least.

    Returns:
        ``min(rows, columns)`` pairs (row, column), in the order of the rows.

    Reference:
        Kuhn 1955, "The Hungarian method for the assignment problem"; by shortest augmenting paths as in Jonker and
        Volgenant 1987, O(n^3).

    Example:
        >>> best_assignment([[0.9, 0.8], [0.7, 0.1]])
        [(0, 1), (1, 0)]
    """
    costs = -np.asarray(gains, dtype=np.float64)
    if costs.shape[0] > costs.shape[1]:
        return sorted((row, column) for column, row in best_assignment((-costs.T).tolist()))
    rows, columns = costs.shape
    row_price, column_price = np.zeros(rows), np.zeros(columns)
    partner = np.full(columns, -1)  # row of each column
    for start in range(rows):
        # Dijkstra's algorithm from the free row to the nearest free column, in reduced costs.
        distance, previous = np.full(columns, np.inf), np.full(columns, -1)
        done, row, reached, at = np.zeros(columns, dtype=bool), start, 0.0, -1
        while row >= 0:
            through = reached + costs[row] - row_price[row] - column_price
            shorter = ~done & (through < distance)
            distance[shorter], previous[shorter] = through[shorter], at
            at = int(np.where(done, np.inf, distance).argmin())
            reached, done[at] = distance[at], True
            row = int(partner[at])
        # Prices keep all reduced costs >= 0, and zero along the pairs.
        row_price[start] += reached
        visited = done & (partner >= 0)
        row_price[partner[visited]] += reached - distance[visited]
        column_price[done] -= reached - distance[done]
        while at >= 0:  # turn the path around
            before = int(previous[at])
            partner[at] = start if before < 0 else partner[before]
            at = before
    return sorted((int(row), column) for column, row in enumerate(partner) if row >= 0)
