"""Views as HTML for notebooks: no script, no network, and the colours of whatever theme it stands in."""

from collections.abc import Iterator

from rankfold._display._pictures import drawn_bar, drawn_curve
from rankfold._display._svg import written
from rankfold._display._view import Bar, Block, Cell, Drawn, Facts, Grid, View
from rankfold._display._words import one_line

__all__ = ["html_of"]

_OPEN = 20  # rows of a table that is not folded away, about half a screen
_SENTENCE = 24  # letters of what is read as a sentence and not as a name
_MOST = 200  # rows that a table has at most; print has them all

# Text takes the colours of the notebook, which is light or dark whatever the system is; the orange of warnings stands
# out from white and from black. Notebooks give tables looks of their own, JupyterLab by two classes and a tag, so what
# matters is said here by two classes, later.
_STYLE = """
&{overflow-x:auto;max-width:100%}
& table{border-collapse:collapse;border:0;margin:.4em 0;table-layout:auto;font-size:inherit}
& th,& td{border:0;padding:.1em 1em .1em 0;text-align:left;vertical-align:top;max-width:30em;
white-space:normal;overflow-wrap:break-word;line-height:1.5}
& th{font-weight:normal}
& thead th{border-bottom:1px solid;font-weight:bold}
& .n{text-align:right;white-space:nowrap}
& .t{min-width:12em}
& .m>*{font-weight:bold}
& p{margin:.4em 0}
& .w{border-left:4px solid #d9822b;padding-left:.6em}
& svg{vertical-align:middle;margin-left:.5em}
& summary{cursor:pointer}
""".replace("\n", "").replace("&", ".rankfold.rankfold")


def html_of(view: View) -> str:
    """One element with a style of its own; every word is escaped here.

    Example:
        >>> from rankfold._display import Note
        >>> html_of(View("A <b>", (Note("not & now"),))).partition("</style>")[2]
        '<p><b>A &lt;b&gt;</b></p><p>not &amp; now</p></div>'
    """
    blocks = "".join(_block(block) for block in view.blocks)
    return f'<div class="rankfold"><style>{_STYLE}</style><p><b>{_safe(view.title)}</b></p>{blocks}</div>'


def _safe(text: str) -> str:
    return written(one_line(text))


def _block(block: Block) -> str:
    if isinstance(block, Facts):
        rows = (f'<tr><th scope="row">{_safe(name)}</th>{_cell(cell)}</tr>' for name, cell in block.rows)
        return f"<table><tbody>{''.join(rows)}</tbody></table>"
    if isinstance(block, Grid):
        table = f"<table>{''.join(_table(block))}</table>"
        if len(block.rows) <= _OPEN:
            return table
        return f"<details><summary>{len(block.rows):,} {_safe(block.what)}</summary>{table}</details>"
    return f"<p{' class=w' if block.warning else ''}>{_safe(block.text)}</p>"


def _table(grid: Grid) -> Iterator[str]:
    heads = (
        f'<th scope="col"{" class=n" if column in grid.numbers else ""}>{_safe(name)}</th>'
        for column, name in enumerate(grid.columns)
    )
    yield f"<thead><tr>{''.join(heads)}</tr></thead><tbody>"
    for place, row in enumerate(grid.rows[:_MOST]):
        mark = " class=m" if place == grid.marked else ""
        cells = "".join(_cell(cell, column, column in grid.numbers) for column, cell in enumerate(row))
        yield f"<tr{mark}>{cells}</tr>"
    yield "</tbody>"
    if len(grid.rows) > _MOST:
        more = f"{len(grid.rows) - _MOST:,} more {grid.what}; print shows all"
        yield f"<tfoot><tr><td colspan={len(grid.columns)}>{_safe(more)}</td></tr></tfoot>"


def _cell(cell: Cell, column: int = 1, number: bool = False) -> str:
    content, words = (_safe(cell), cell) if isinstance(cell, str) else (_drawn(cell), cell.text)
    kind = " class=n" if number else " class=t" if len(words) > _SENTENCE else ""
    return f"<td{kind}>{content}</td>" if column else f'<th scope="row"{kind}>{content}</th>'


def _drawn(cell: Drawn) -> str:
    picture = cell.picture
    return _safe(cell.text) + (drawn_bar(picture) if isinstance(picture, Bar) else drawn_curve(picture))
