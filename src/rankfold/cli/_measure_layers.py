"""What the layers of a network cost one by one, dense and as the plain layers they fold to."""

from collections.abc import Callable

from torch import Tensor, nn

from rankfold.cli._measure import count_flops, count_parameters
from rankfold.convert import time_layers
from rankfold.convert._calls import recorded_calls
from rankfold.convert._rules import rule_for
from rankfold.layers import FactorizedLayer, FormatLayer
from rankfold.ranks import Call
from rankfold.report import Costs, LayerCosts

__all__ = ["layer_costs", "layers_of"]


def layers_of(network: nn.Module) -> dict[str, nn.Module]:
    """The layers that are factorised or could be, by name."""
    return {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, FormatLayer) or rule_for(module) is not None
    }


def layer_costs(
    network: nn.Module, inputs: tuple[Tensor, ...], advance: Callable[[int, int], object]
) -> list[LayerCosts]:
    """Run a network once, and time each of its layers on what it was given.

    Arguments:
        network: in eval mode; factorised layers are measured folded, and as the dense layers they stand for.
        inputs: its arguments; the rows of the first are the samples.
        advance: called before each layer with the number of layers done and that of all.

    Returns:
        One entry per layer that is factorised or could be. All layers of a network take about as long as timing it
        as a whole for once, because each is called as often as that.
    """
    layers, costs = layers_of(network), []
    calls = recorded_calls(network, layers.values(), inputs)
    for number, (name, layer) in enumerate(layers.items()):
        advance(number, len(layers))
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
