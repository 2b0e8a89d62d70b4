"""A network with its weights: spectra, ranks and costs of its layers."""

from functools import partial

import torch
from rich.console import Console
from torch import Tensor, nn

import rankfold
from rankfold.cli._check_config import chosen_device
from rankfold.cli._input_shapes import example_inputs, read_input_shapes
from rankfold.cli._inspect_config import InspectConfig
from rankfold.cli._measure import check_runs, count_parameters, flops_per_sample, place_of, time_networks
from rankfold.cli._measure_layers import layer_costs, layers_of
from rankfold.cli._model_source import load_network
from rankfold.convert import parse_policy
from rankfold.convert._rules import rule_for
from rankfold.layers import FormatLayer
from rankfold.report import (
    Costs,
    Spectrum,
    StagesDisplay,
    layer_costs_table,
    network_costs_table,
    spectra_of,
    spectra_table,
)

__all__ = ["inspect_network"]


def inspect_network(config: InspectConfig, console: Console) -> None:
    """Load a network, measure it, and print what was found.

    Arguments:
        config: checked settings, with a network.
        console: where to.

    Raises:
        RankfoldError: the network or its weights cannot be read or run, or the policy does not apply.
    """
    assert config.model is not None
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    rankfold.tune_cpu_allocator()  # or page faults decide which form seems faster
    shapes, device = read_input_shapes(config.model, config.input_shape), chosen_device(config.device)
    network = load_network(config.model, config.path, input_shape=shapes[0].sizes).to(device).eval()
    inputs = tuple(x.to(device) for x in example_inputs(shapes, network, config.latency_batch))
    check_runs("inspect", network, inputs)
    spectra = _spectra(network)
    with StagesDisplay(console) as display:
        if config.policy:
            display.show("finding ranks")
            network = rankfold.densify(network)
            rankfold.factorize(network, parse_policy(config.policy[0], example_inputs=inputs))
        layers = layer_costs(network, inputs, partial(display.show, "measuring layers"))
        display.show("measuring the network")
        whole = _network_costs(network, inputs)
    place = f"{config.latency_batch} samples, {place_of(inputs[0])}"
    ranks = f", ranks by {config.policy[0]}" if config.policy else ""
    console.print(f"{config.model} from {config.path}{ranks}", soft_wrap=True)
    console.print(spectra_table(spectra))
    console.print(layer_costs_table(layers, place))
    console.print(network_costs_table("The network", whole, place))


def _spectra(network: nn.Module) -> list[Spectrum]:
    spectra = []
    for name, layer in layers_of(network).items():
        if isinstance(layer, FormatLayer):
            kind, modes = layer.dense_class, layer.channel_modes
        else:
            rule = rule_for(layer)
            assert rule is not None
            kind, modes = type(layer), rule.layer.channel_modes
        weight = layer.weight
        assert isinstance(weight, Tensor)
        if weight.numel():
            spectra += spectra_of(name, kind.__name__, weight, modes)
    return spectra


def _network_costs(network: nn.Module, inputs: tuple[Tensor, ...]) -> list[tuple[str, Costs]]:
    """Of the network as dense layers, and as plain layers where some are factorised."""
    sides = {"dense": rankfold.densify(network)}
    if any(isinstance(module, FormatLayer) for module in network.modules()):
        sides["folded"] = rankfold.fold(network)
    times = time_networks(list(sides.values()), inputs)
    return [
        (name, Costs(count_parameters(side), flops_per_sample(side, inputs), times.seconds(number)))
        for number, (name, side) in enumerate(sides.items())
    ]
