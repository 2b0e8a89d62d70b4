"""Pages: plain data in, one HTML file out that needs no network."""

from rankfold.report.page._blocks import (
    BarChart,
    Block,
    Cell,
    Code,
    Fact,
    Group,
    HeatMap,
    Items,
    Line,
    LineChart,
    Live,
    Mark,
    Page,
    Quantity,
    Section,
    Table,
    Text,
)
from rankfold.report.page._decomposition_page import decomposition_page
from rankfold.report.page._decomposition_record import DecompositionRecord, ModeFactor
from rankfold.report.page._render import MISSING, render_page, write_page
from rankfold.report.page._training_page import training_page
from rankfold.report.page._training_record import (
    FailureRecord,
    LayerRecord,
    ModeSpectrum,
    RankChange,
    TimesRecord,
    TrainingRecord,
)

__all__ = [
    "MISSING",
    "BarChart",
    "Block",
    "Cell",
    "Code",
    "DecompositionRecord",
    "Fact",
    "FailureRecord",
    "Group",
    "HeatMap",
    "Items",
    "LayerRecord",
    "Line",
    "LineChart",
    "Live",
    "Mark",
    "ModeFactor",
    "ModeSpectrum",
    "Page",
    "Quantity",
    "RankChange",
    "Section",
    "Table",
    "Text",
    "TimesRecord",
    "TrainingRecord",
    "decomposition_page",
    "render_page",
    "training_page",
    "write_page",
]
