"""Floor 5: what runs and files look like on the terminal."""

from rankfold.report._bench_layer import (
    LayerBench,
    RankBench,
    bench_layer_table,
    break_even_rank,
    verdict,
)
from rankfold.report._compression import compression_report
from rankfold.report._decomposition import decomposition_report
from rankfold.report._decomposition_display import DecompositionDisplay
from rankfold.report._decomposition_figures import draw_decomposition
from rankfold.report._decomposition_summary import decomposition_summary
from rankfold.report._layer_costs import Costs, LayerCosts, layer_costs_table, network_costs_table
from rankfold.report._layers import layer_rows, layouts_of, saved_share
from rankfold.report._markdown import markdown_cell, markdown_table
from rankfold.report._records_table import records_table
from rankfold.report._spectra import Spectrum, spectra_of, spectra_table
from rankfold.report._stages_display import StagesDisplay
from rankfold.report._tables import facts_table, layers_table, ranks_table, sizes, tensors_table
from rankfold.report._training_display import TrainingDisplay
from rankfold.report._training_view import TrainingStatus, training_view

__all__ = [
    "Costs",
    "DecompositionDisplay",
    "LayerBench",
    "LayerCosts",
    "RankBench",
    "Spectrum",
    "StagesDisplay",
    "TrainingDisplay",
    "TrainingStatus",
    "bench_layer_table",
    "break_even_rank",
    "compression_report",
    "decomposition_report",
    "decomposition_summary",
    "draw_decomposition",
    "facts_table",
    "layer_costs_table",
    "layer_rows",
    "layers_table",
    "layouts_of",
    "markdown_cell",
    "markdown_table",
    "network_costs_table",
    "ranks_table",
    "records_table",
    "saved_share",
    "sizes",
    "spectra_of",
    "spectra_table",
    "tensors_table",
    "training_view",
    "verdict",
]
