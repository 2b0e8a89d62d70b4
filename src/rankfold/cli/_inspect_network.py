"""A network with its weights: spectra, ranks and costs of its layers."""

import torch
from rich.console import Console
from torch import Tensor, nn

import rankfold
from rankfold.cli._check_config import chosen_device
from rankfold.cli._input_shapes import example_inputs, read_input_shapes
from rankfold.cli._inspect_config import InspectConfig
from rankfold.cli._measure import (
    check_runs,
    count_flops,
    count_parameters,
    flops_per_sample,
    place_of,
    time_networks,
)
from rankfold.cli._model_source import load_network
from rankfold.convert import parse_policy, time_layers
from rankfold.convert._calls import recorded_calls
from rankfold.convert._rules import rule_for
from rankfold.layers import FactorizedLayer, FormatLayer
from rankfold.ranks import Call
from rankfold.report import (
    Costs,
    LayerCosts,
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
        layers = _layer_costs(network, inputs, display)
        display.show("measuring the network")
        whole = _network_costs(network, inputs)
    place = f"{config.latency_batch} samples, {place_of(inputs[0])}"
    ranks = f", ranks by {config.policy[0]}" if config.policy else ""
    console.print(f"{config.model} from {config.path}{ranks}", soft_wrap=True)
    console.print(spectra_table(spectra))
    console.print(layer_costs_table(layers, place))
    console.print(network_costs_table("The network", whole, place))


def _layers(network: nn.Module) -> dict[str, nn.Module]:
    return {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, FormatLayer) or rule_for(module) is not None
    }


def _spectra(network: nn.Module) -> list[Spectrum]:
    spectra = []
    for name, layer in _layers(network).items():
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


def _layer_costs(network: nn.Module, inputs: tuple[Tensor, ...], display: StagesDisplay) -> list[LayerCosts]:
    layers, costs = _layers(network), []
    calls = recorded_calls(network, layers.values(), inputs)
    for number, (name, layer) in enumerate(layers.items()):
        display.show("measuring layers", number, len(layers))
        ranks, sides = None, [layer]
        if isinstance(layer, FormatLayer):
            ranks = layer.ranks
            if isinstance(layer, FactorizedLayer):
                ranks = tuple(layer.ranks[mode] for mode in layer.modes)
            sides = [layer.dense().eval(), layer.folded().eval()]
        times = time_layers(sides, calls[layer]) if calls[layer] else None
        found = [
            Costs(
                count_parameters(side),
                sum(_flops(side, call) for call in calls[layer]) // len(inputs[0]) if times else None,
                times.seconds(place) if times else None,
            )
            for place, side in enumerate(sides)
        ]
        costs.append(LayerCosts(layer=name, ranks=ranks, dense=found[0], folded=found[-1]))
    return costs


def _flops(layer: nn.Module, call: Call) -> int:
    return call.times * count_flops(lambda: layer(call.input(), *call.arguments, **call.options))


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
