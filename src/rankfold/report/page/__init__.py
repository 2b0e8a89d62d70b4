"""Pages: plain data in, one HTML file out that needs no network."""

from rankfold.report.page._bench_page import bench_page
from rankfold.report.page._bench_record import BenchRecord
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
    Picture,
    Quantity,
    Section,
    Table,
    Text,
)
from rankfold.report.page._compression_page import compression_page
from rankfold.report.page._compression_record import CompressedLayerRecord, CompressionRecord, NetworkCosts
from rankfold.report.page._decomposition_page import decomposition_page
from rankfold.report.page._decomposition_record import DecompositionRecord, ModeFactor
from rankfold.report.page._monitor_page import MonitorRecord, monitor_page
from rankfold.report.page._render import MISSING, render_page, write_page
from rankfold.report.page._study_page import study_page
from rankfold.report.page._study_record import StudyCheck, StudyRecord, StudyTable
from rankfold.report.page._training_page import training_page
from rankfold.report.page._training_record import (
    FailureRecord,
    LayerRecord,
    ModeSpectrum,
    RankChange,
    TimesRecord,
    TrainingRecord,
)
from rankfold.report.page._training_trouble import Trouble, trouble_of

__all__ = [
    "MISSING",
    "BarChart",
    "BenchRecord",
    "Block",
    "Cell",
    "Code",
    "CompressedLayerRecord",
    "CompressionRecord",
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
    "MonitorRecord",
    "NetworkCosts",
    "Page",
    "Picture",
    "Quantity",
    "RankChange",
    "Section",
    "StudyCheck",
    "StudyRecord",
    "StudyTable",
    "Table",
    "Text",
    "TimesRecord",
    "TrainingRecord",
    "Trouble",
    "bench_page",
    "compression_page",
    "decomposition_page",
    "monitor_page",
    "render_page",
    "study_page",
    "training_page",
    "trouble_of",
    "write_page",
]
