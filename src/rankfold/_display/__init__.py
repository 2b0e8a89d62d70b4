"""Floor 0: what values look like in terminals, notebooks and pages: words, numbers, scraps of SVG, small tables."""

from rankfold._display._cells import share_left
from rankfold._display._html import html_of
from rankfold._display._numbers import data_number, duration, finite, shown_number, sizes, tick_number
from rankfold._display._svg import element, number, path, written
from rankfold._display._text import text_of, text_table
from rankfold._display._view import Bar, Block, Cell, Curve, Drawn, Facts, Grid, Note, View
from rankfold._display._words import AXIS_NAME, NAME, folded_command, one_line, shortened, visible

__all__ = [
    "AXIS_NAME",
    "NAME",
    "Bar",
    "Block",
    "Cell",
    "Curve",
    "Drawn",
    "Facts",
    "Grid",
    "Note",
    "View",
    "data_number",
    "duration",
    "element",
    "finite",
    "folded_command",
    "html_of",
    "number",
    "one_line",
    "path",
    "share_left",
    "shortened",
    "shown_number",
    "sizes",
    "text_of",
    "text_table",
    "tick_number",
    "visible",
    "written",
]
