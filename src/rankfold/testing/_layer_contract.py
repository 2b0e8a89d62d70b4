"""What every layer over a format keeps."""

import copy
import pickle
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from rankfold.testing._pairwise import pairwise
from rankfold.testing._rounding import assert_same

__all__ = ["LayerContract"]


class LayerContract:
    """Tests of a layer over a format; a subclass named ``Test...`` says how to make its dense layer and inherits them.

    What the layer computes is tested over every pair of option values, the rest with the first value of each.
    """

    layer: ClassVar[Any]
    #: The rank at which the layer can be any dense layer, as its ``from_dense`` takes it.
    full_rank: ClassVar[Any]
    #: Values of the dense layer's constructor arguments, and of ``modes`` where those can be chosen.
    options: ClassVar[Mapping[str, Sequence[Any]]]

    def dense(self, **options: Any) -> nn.Module:
        """The dense layer with these options."""
        raise NotImplementedError

    def inputs(self) -> Tensor:
        """A batch for the layer."""
        raise NotImplementedError

    def allowed(self, case: dict[str, Any]) -> bool:
        """Whether the dense layer takes this combination of options."""
        return True

    def variance(self, weight: Tensor) -> float:
        """The variance that the dense layer draws its weight with."""
        fan_in, _ = nn.init._calculate_fan_in_and_fan_out(weight)
        return 1 / (3 * fan_in)

    def largest_rank(self, layer: Any) -> int:
        """The largest rank that one number may ask for."""
        raise NotImplementedError

    # -- helpers ---------------------------------------------------------------------------------------

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "case" in metafunc.fixturenames:
            cases = pairwise(self.options, self.allowed)
            metafunc.parametrize("case", cases, ids=lambda case: "-".join(map(str, case.values())))
        if "execution" in metafunc.fixturenames:
            metafunc.parametrize("execution", self.layer.executions)

    def _first(self) -> dict[str, Any]:
        return {name: values[0] for name, values in self.options.items()}

    def _pair(self, case: dict[str, Any], rank: Any) -> tuple[nn.Module, Any]:
        options = {name: value for name, value in case.items() if name != "modes"}
        chosen = {name: value for name, value in case.items() if name == "modes"}
        dense = self.dense(**options).double()
        return dense, self.layer.from_dense(dense, rank=rank, **chosen)

    def _layer(self, rank: int = 2) -> Any:
        return self._pair(self._first(), rank)[1]

    def _fresh(self, rank: Any = 2, **arguments: Any) -> Any:
        dense, layer = self._pair(self._first(), 1)
        given: dict[str, Any] = {name: getattr(dense, name) for name in layer.dense_arguments}
        return self.layer(**given, rank=rank, **arguments)

    def _double_inputs(self) -> Tensor:
        inputs = self.inputs()
        return inputs.double().requires_grad_() if inputs.is_floating_point() else inputs

    @staticmethod
    def _terms(module: nn.Module, inputs: Tensor) -> int:
        weight = module.weight
        assert isinstance(weight, Tensor)
        return weight.numel() + inputs.numel()

    def _compare(self, layer: Any, dense: nn.Module) -> None:
        """Outputs and all gradients of a layer agree with those of a dense layer of the same weight."""
        inputs = self._double_inputs()
        terms = self._terms(dense, inputs)
        expected = dense(inputs)
        cotangent = torch.randn_like(expected)
        expected.backward(cotangent)
        input_gradient, inputs.grad = inputs.grad, None
        bias_gradient = None
        if layer.bias is not None:  # the dense layer has the same parameter
            bias_gradient, layer.bias.grad = layer.bias.grad, None
        actual = layer(inputs)
        actual.backward(cotangent)
        assert_same(actual, expected, terms=terms)
        if input_gradient is not None:
            assert inputs.grad is not None
            assert_same(inputs.grad, input_gradient, terms=terms)
        if layer.bias is not None:
            assert layer.bias.grad is not None
            assert bias_gradient is not None
            assert_same(layer.bias.grad, bias_gradient, terms=terms)
        self._compare_parts(layer, dense.weight.grad, terms)

    def _compare_parts(self, layer: Any, gradient: Any, terms: int) -> None:
        """Gradients of the parts are those of the dense weight, by the rules of the format."""
        parts = list(layer.parts.values())
        expected = torch.autograd.grad((layer.weight * gradient).sum(), parts)
        for part, wanted in zip(parts, expected, strict=True):
            assert part.grad is not None
            assert_same(part.grad, wanted, terms=terms)

    # -- what it computes ------------------------------------------------------------------------------

    def test_full_rank_computes_what_the_dense_layer_computes(self, case: dict[str, Any]) -> None:
        dense, layer = self._pair(case, self.full_rank)
        self._compare(layer, dense)

    def test_low_rank_computes_what_its_dense_weight_computes(
        self, case: dict[str, Any], execution: Any
    ) -> None:
        _, layer = self._pair(case, 2)
        dense = layer.dense()
        assert type(dense) is layer.dense_class
        layer.execution = execution
        self._compare(layer, dense)

    def test_evaluation_computes_the_same_and_notices_changes(
        self, case: dict[str, Any], execution: Any
    ) -> None:
        _, layer = self._pair(case, 2)
        layer.execution = execution
        inputs = self._double_inputs()
        layer.eval()
        with torch.no_grad():
            for parameter in layer.parts.values():
                for change in (
                    parameter.mul_,
                    parameter.data.mul_,
                ):  # the second leaves torch's version as it is
                    assert_same(layer(inputs), layer.dense()(inputs), terms=self._terms(layer, inputs))
                    change(1.5)
            layer.assign(layer.value.truncate(ranks=1))
            assert_same(layer(inputs), layer.dense()(inputs), terms=self._terms(layer, inputs))

    def test_folded_layers_compute_the_same(self, case: dict[str, Any]) -> None:
        for rank in (1, 2, self.full_rank):
            dense, layer = self._pair(case, rank)
            folded, inputs = layer.folded(), self._double_inputs()
            outputs = folded(inputs)
            assert outputs.is_contiguous()
            assert all(parameter.is_contiguous() for parameter in folded.parameters())
            assert_same(outputs, layer(inputs), terms=self._terms(dense, inputs))
            assert sum(p.numel() for p in folded.parameters()) <= sum(p.numel() for p in dense.parameters())
            assert all(type(module).__module__.startswith("torch.") for module in folded.modules())

    def test_the_output_may_be_changed_in_place(self, execution: Any) -> None:
        layer, inputs = self._layer(), self._double_inputs()
        layer.execution = execution
        (expected,) = torch.autograd.grad(torch.relu(layer(inputs)).square().sum(), [layer.leading])
        (actual,) = torch.autograd.grad(torch.relu_(layer(inputs)).square().sum(), [layer.leading])
        assert torch.equal(actual, expected)

    def test_the_memory_format_is_that_of_the_dense_layer(self, execution: Any) -> None:
        inputs = self.inputs()
        formats = [torch.contiguous_format] + [torch.channels_last] * (inputs.ndim == 4)
        for layout in formats if inputs.is_floating_point() else ():
            dense, layer = self._pair(self._first(), 2)
            layer.execution = execution
            given = inputs.double().contiguous(memory_format=layout)
            moved = [
                module._apply(lambda t, layout=layout: t if t.ndim != 4 else t.to(memory_format=layout))
                for module in (dense, layer)
            ]
            strides = [module(given).stride() for module in moved]
            assert strides[0] == strides[1]

    def test_gradients_of_gradients(self, execution: Any) -> None:
        layer = self._layer()
        layer.execution = execution
        parameters = list(layer.parts.values())
        inputs = self._double_inputs()

        def penalty(function: Callable[[Tensor], Tensor]) -> tuple[Tensor, ...]:
            first = torch.autograd.grad(function(inputs).square().sum(), parameters, create_graph=True)
            return torch.autograd.grad(torch.stack([part.square().sum() for part in first]).sum(), parameters)

        def plain(inputs: Tensor) -> Tensor:
            return torch.func.functional_call(layer.dense(), {"weight": layer.weight}, (inputs,))

        for actual, expected in zip(penalty(layer), penalty(plain), strict=True):
            assert_same(actual, expected, terms=layer.weight.numel() * inputs.numel())

    def test_compiles_without_graph_breaks(self) -> None:
        layer, inputs = self._layer(), self._double_inputs()
        layer.execution = layer.executions[0]  # a graph does not choose by the number of inputs
        compiled = torch.compile(layer, fullgraph=True, backend="eager")
        assert torch.equal(compiled(inputs), layer(inputs))

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_autocast_gives_the_dtype_of_the_dense_layer(self, dtype: torch.dtype) -> None:
        dense, layer = self._pair(self._first(), 2)
        with torch.autocast("cpu", dtype=dtype):
            outputs = [module.float()(self.inputs()) for module in (dense, layer)]
        assert outputs[0].dtype == outputs[1].dtype
        outputs[1].float().sum().backward()
        assert {parameter.grad.dtype for parameter in layer.parameters()} == {torch.float32}  # pyright: ignore

    # -- in and out ------------------------------------------------------------------------------------

    def test_conversion_keeps_bias_mode_and_requires_grad(self) -> None:
        dense, _ = self._pair(self._first(), 2)
        dense.eval()
        dense.weight.requires_grad_(False)
        layer = self.layer.from_dense(dense, rank=2)
        assert not layer.training
        assert layer.bias is getattr(dense, "bias", None)
        assert not any(p.requires_grad for name, p in layer.named_parameters() if name != "bias")
        assert layer.bias is None or layer.bias.requires_grad
        for plain in (layer.dense(), layer.folded()):
            assert not any(module.training for module in plain.modules())
            assert not any(p.requires_grad for p in plain.parameters() if p is not layer.bias)
        assert layer.bias is None or layer.bias.requires_grad

    def test_rescaled_conversion_keeps_the_norm(self) -> None:
        dense, _ = self._pair(self._first(), 2)
        layer = self.layer.from_dense(dense, rank=1, rescale=True)
        norm = torch.linalg.vector_norm(dense.weight)  # pyright: ignore
        assert_same(layer.value.norm(), norm, terms=sum(layer.weight_shape))
        assert self.layer.from_dense(dense, rank=1).value.norm() < 0.99 * norm

    def test_weight_reads_as_the_dense_weight(self) -> None:
        layer = self._layer()
        assert torch.equal(layer.weight, layer.dense().weight)  # pyright: ignore
        assert layer.weight_shape == tuple(layer.weight.shape)
        assert all(str(rank) in repr(layer) for rank in layer.ranks)

    # -- initial values --------------------------------------------------------------------------------

    def test_initial_weight_has_the_variance_of_the_dense_layer(self) -> None:
        dense, layer = self._pair(self._first(), 1)
        assert isinstance(dense.weight, Tensor)
        weight = dense.weight.detach()
        variance = self.variance(weight)
        # Six standard deviations of the sample variance of numel normal numbers.
        assert abs(float(weight.var(correction=0)) / variance - 1) <= 6 * (2 / weight.numel()) ** 0.5
        for rank in range(1, self.largest_rank(layer) + 1):
            for dtype in (torch.float32, torch.float64):
                fresh = self._fresh(rank, dtype=dtype)
                norm = torch.tensor((variance * weight.numel()) ** 0.5, dtype=dtype)
                assert_same(torch.linalg.vector_norm(fresh.weight), norm, terms=weight.numel())

    def test_generator_decides_the_initial_values(self) -> None:
        one, same, other = (self._fresh(generator=torch.Generator().manual_seed(seed)) for seed in (3, 3, 4))
        for name, parameter in one.named_parameters():
            assert torch.equal(parameter, same.get_parameter(name))
            assert not torch.equal(parameter, other.get_parameter(name))

    def test_meta_device(self) -> None:
        layer = self._fresh(device="meta")
        assert {parameter.device.type for parameter in layer.parameters()} == {"meta"}
        layer.to_empty(device="cpu")
        layer.reset_parameters(torch.Generator().manual_seed(1))
        here = self._fresh(generator=torch.Generator().manual_seed(1))
        for name, parameter in layer.named_parameters():
            assert torch.equal(parameter, here.get_parameter(name))

    # -- copies and states -----------------------------------------------------------------------------

    def test_copies_compute_the_same_and_are_independent(self) -> None:
        layer, inputs = self._layer(), self._double_inputs()
        expected = layer(inputs)
        copies = [copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))]
        with torch.no_grad():
            layer.leading.zero_()
        assert all(torch.equal(other(inputs), expected) for other in copies)
        assert not layer.weight.any()

    def test_moves_to_another_dtype(self) -> None:
        layer, inputs = self._layer(), self._double_inputs()
        expected = layer(inputs)
        layer.to(torch.float32)
        assert {parameter.dtype for parameter in layer.parameters()} == {torch.float32}
        actual = layer(self.inputs().to(torch.float32) if inputs.is_floating_point() else inputs)
        assert actual.dtype == torch.float32
        layer.to(torch.float64)
        assert layer(inputs).dtype == expected.dtype

    @pytest.mark.parametrize("rank", [1, 2, 3])
    def test_state_of_another_rank_is_taken_over(self, rank: int) -> None:
        source, target, inputs = self._layer(rank), self._fresh(2, dtype=torch.float64), self._double_inputs()
        parameters = dict(target.named_parameters())
        assert target.load_state_dict(source.state_dict(), strict=True) == ([], [])
        assert target.ranks == source.ranks
        assert dict(target.named_parameters()) == parameters
        assert all(torch.equal(p, source.get_parameter(n)) for n, p in target.named_parameters())
        assert_same(target(inputs), source(inputs), terms=self._terms(source, inputs))
        target(inputs).sum().backward()
        assert target.leading.grad is not None

    @pytest.mark.parametrize("damage", ["first", "second", "longer", "missing", "extra"])
    def test_state_that_does_not_fit_changes_nothing(self, damage: str) -> None:
        target, state = self._fresh(2, dtype=torch.float64), self._layer(2).state_dict()
        first, name, *_ = target.parts
        if damage == "first":
            state[first] = state[first][..., :1]
        elif damage == "second":
            state[name] = state[name][:, :1]
        elif damage == "longer":
            state[name] = torch.cat([state[name], state[name]])
        elif damage == "missing":
            state = {"bias": state["bias"]} if "bias" in state else {}
        else:
            state[f"{name[:-1]}7"] = state[name]
        before = copy.deepcopy(target)
        with pytest.raises(RuntimeError, match="Error"):
            target.load_state_dict(state)
        for key, parameter in target.named_parameters():
            if damage != "missing" or key != "bias":  # nn.Module loads what it finds
                assert torch.equal(parameter, before.get_parameter(key))
