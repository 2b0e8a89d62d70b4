"""What every rank policy keeps."""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rankfold._errors import RankfoldError
from rankfold.compression import compress
from rankfold.convert import factorize, factorized_layers, fold
from rankfold.ranks import Choice, RankPolicy, WeightView, lowered

__all__ = ["PolicyContract"]

_WEIGHTS: dict[str, Callable[[Tensor], Tensor]] = {
    "random": lambda noise: noise,
    "rank 1": lambda noise: noise.flatten(1)[:, :1].matmul(noise.flatten(1)[:1]).view_as(noise),
    "zero": torch.zeros_like,
    "ones": torch.ones_like,
    "tiny": lambda noise: noise * 1e-20,
    "huge": lambda noise: noise * 1e18,
}


class _Watched:
    """A policy that looks at what another one answers."""

    def __init__(self, policy: RankPolicy) -> None:
        self.policy = policy
        self.example_inputs = getattr(policy, "example_inputs", None)
        self.training = getattr(policy, "training", False)
        self.names: list[str] = []
        self.answers: list[Choice | str] = []

    def choose(self, weights: Sequence[WeightView]) -> Sequence[Choice | str]:
        before = [weight.weight.detach().clone() for weight in weights]
        modes = {module: module.training for module in weights[0].model.modules()}
        self.names = [weight.name for weight in weights]
        self.answers = list(self.policy.choose(weights))
        assert len(self.answers) == len(weights)
        for weight, old, answer in zip(weights, before, self.answers, strict=True):
            assert torch.equal(weight.weight, old), "a policy leaves the weights as they are"
            self._check(weight, answer)
        assert modes == {module: module.training for module in weights[0].model.modules()}
        return self.answers

    @staticmethod
    def _check(weight: WeightView, answer: Choice | str) -> None:
        if isinstance(answer, str):
            assert answer, "a reason to stay dense has words"
            assert "\n" not in answer
        else:
            assert answer.modes in weight.modes, "the modes are among those offered"
            assert all(rank >= 1 for rank in answer.ranks)
            assert lowered(answer.ranks, weight.shape, answer.modes) == answer.ranks, "no rank is in vain"


class PolicyContract:
    """Tests of a rank policy; a subclass named ``Test...`` says how to make one and inherits them.

    Each test converts a small network of convolutions, plain, grouped and transposed, a table and linear layers, with
    ordinary weights or hostile ones.
    """

    def policy(self, example_inputs: Tensor) -> RankPolicy:
        """The policy for a model that is called with these inputs, which most policies ignore."""
        raise NotImplementedError

    # -- helpers ---------------------------------------------------------------------------------------

    @staticmethod
    def _inputs() -> Tensor:
        return torch.randn(4, 4, 6, 6, generator=torch.Generator().manual_seed(7))

    @staticmethod
    def _network(kind: str = "random") -> nn.Sequential:
        model = nn.Sequential(
            nn.Conv2d(4, 24, 3, padding=1),
            nn.Conv2d(24, 18, 3, groups=2),
            nn.ConvTranspose2d(18, 20, 2),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(80, 40),
            nn.ReLU(),
            nn.Linear(40, 1),
        )
        generator = torch.Generator().manual_seed(11)
        for module in model.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
                noise = torch.randn(module.weight.shape, generator=generator)
                module.weight.data = _WEIGHTS[kind](noise)
        return model.eval()

    def _asked(self, model: nn.Module, inputs: Tensor, **options: Any) -> _Watched:
        """The policy's answers, checked; none where it refuses."""
        watched = _Watched(self.policy(inputs))
        self._refusal(lambda: factorize(model, watched, **options))
        return watched

    @staticmethod
    def _refusal(call: Callable[[], object]) -> str | None:
        """The sentence with which a call is refused, or None."""
        try:
            call()
        except RankfoldError as error:
            sentence = str(error)
        else:
            return None
        assert sentence.endswith(".")
        return sentence

    # -- what it answers -------------------------------------------------------------------------------

    def test_is_a_policy(self) -> None:
        assert isinstance(self.policy(self._inputs()), RankPolicy)

    @pytest.mark.parametrize("kind", _WEIGHTS)
    def test_answers_are_possible_and_the_same_again(self, kind: str) -> None:
        first, second = (self._asked(self._network(kind), self._inputs()) for _ in range(2))
        assert first.answers == second.answers

    @pytest.mark.parametrize("modes", ["all", (0,), (1,), (0, 1)], ids=str)
    def test_chosen_modes_are_kept_to(self, modes: Any) -> None:
        self._asked(self._network(), self._inputs(), modes=modes)

    def test_all_layers_of_one_weight_are_asked_about_once(self) -> None:
        first, second = nn.Linear(30, 30), nn.Linear(30, 30)
        second.weight = first.weight
        model = nn.Sequential(first, nn.ReLU(), second)
        assert self._asked(model, torch.zeros(2, 30)).names == ["0"]
        assert len({id(layer.core) for _, layer in factorized_layers(model)}) <= 1

    def test_a_table_is_no_surprise(self) -> None:
        model = nn.Sequential(nn.Embedding(50, 16), nn.Linear(16, 50, bias=False))
        self._asked(model, torch.arange(8).view(2, 4))

    def test_a_model_without_layers_stays_as_it_is(self) -> None:
        assert list(factorize(nn.Sequential(nn.ReLU()), self.policy(self._inputs()))) == []

    @pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
    def test_other_dtypes(self, dtype: torch.dtype) -> None:
        model = nn.Sequential(nn.Linear(40, 48)).to(dtype)
        self._asked(model, torch.zeros(2, 40, dtype=dtype))

    # -- what becomes of it ----------------------------------------------------------------------------

    def test_the_converted_network_runs_and_folds(self) -> None:
        model, inputs = self._network(), self._inputs()
        assert self._asked(model, inputs).answers, "an ordinary network gets an answer"
        outputs = model(inputs)
        assert outputs.shape == (4, 1)
        assert bool(outputs.isfinite().all())
        plain = fold(model)
        torch.testing.assert_close(plain(inputs), outputs, rtol=1e-3, atol=1e-4)
        sizes = [sum(p.numel() for p in network.parameters()) for network in (plain, self._network())]
        assert sizes[0] <= sizes[1]

    def test_calibration_data_are_used_or_refused_in_a_sentence(self) -> None:
        model, inputs = self._network(), self._inputs()
        before = copy.deepcopy(model.state_dict())
        policy = _Watched(self.policy(inputs))
        if self._refusal(lambda: compress(model, policy, calibration=[inputs], refit=False)) is not None:
            assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
        assert bool(model(inputs).isfinite().all())

    def test_a_weight_that_is_not_finite_is_named_or_left_alone(self) -> None:
        layer = nn.Linear(96, 96)
        layer.weight.data[3, 4] = float("nan")
        model = nn.Sequential(layer)
        sentence = self._refusal(lambda: factorize(model, self.policy(torch.zeros(2, 96))))
        assert sentence is None or "'0'" in sentence
        assert model[0] is layer
