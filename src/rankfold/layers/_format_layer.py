"""What the layers over any format share: parts as parameters, the dense weight, state of any rank, plain layers."""

import re
from collections.abc import Mapping
from math import prod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from rankfold.formats import Format
from rankfold.layers._resize import replace_data

__all__ = ["FormatLayer", "normal_like"]

# Names of parts of which a layer may have more or fewer than its own.
_NUMBERED = re.compile(r"(core|factor)_\d+")


class FormatLayer(nn.Module):
    """Base of the layers whose weight is written in a format and whose parameters are its tensors.

    :class:`FactorizedLayer` is the base of those over a Tucker tensor, which TDLRT trains along the manifold;
    parameters of other formats are trained as they are. A subclass names the ``nn`` class it stands for and the
    constructor arguments of that class, and gives the parts, the value, and the forward.
    """

    #: The class it stands for; where several do, that of the layer it was made from.
    dense_class: type[nn.Module]
    #: Constructor arguments of ``dense_class``, which are attributes of both classes (``bias`` apart).
    dense_arguments: ClassVar[tuple[str, ...]]
    #: The modes of the weight that face input and output.
    channel_modes: ClassVar[tuple[int, int]] = (1, 0)
    #: The ways to run it, by which ``execution`` overrides its own choice.
    executions: ClassVar[tuple[str, ...]]
    bias: nn.Parameter | None
    #: What a forward makes of the weight before it uses it, such as dropping ranks at random; a submodule, if there is
    #: one. It gives a value of the same format and ranks, of a Tucker tensor one with the same factors, or the value
    #: itself where it does nothing.
    perturb: nn.Module

    # -- what it is ------------------------------------------------------------------------------------

    @property
    def parts(self) -> dict[str, nn.Parameter]:
        """The parameters that make up the weight, in the order of the format's tensors; the bias is none of them."""
        raise NotImplementedError

    @property
    def value(self) -> Format:
        """The weight as a format, sharing the live parameters."""
        raise NotImplementedError

    @property
    def leading(self) -> nn.Parameter:
        """The first part, by which layers that share their weight are known."""
        return next(iter(self.parts.values()))

    @property
    def computed(self) -> tuple[str, ...]:
        """Names of the parts that a parametrisation computes from other parameters, such as gates do."""
        return tuple(name for name in self.parts if parametrize.is_parametrized(self, name))

    @property
    def ranks(self) -> tuple[int, ...]:
        """The ranks of the weight."""
        return self.value.ranks

    @property
    def weight(self) -> Tensor:
        """The dense weight, multiplied out anew at each access, for code that reads it; writing to it has no effect."""
        return self.value.to_dense()

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """Shape of the dense weight."""
        return self.value.shape

    @property
    def note(self) -> str | None:
        """What whoever converts a layer to this one should know about its speed, or None."""
        return None

    def _perturbed(self) -> Format | None:
        """The weight that takes the place of the stored one in this call, or None."""
        perturb = self._modules.get("perturb")
        if perturb is None:
            return None
        value = self.value
        result = perturb(value)
        return None if result is value else result

    # -- in and out ------------------------------------------------------------------------------------

    @torch.no_grad()
    def assign(self, value: Any) -> None:
        """Take over the tensors of a value of the same format and sizes at any ranks; parameters keep their identity.

        Arguments:
            value: the new weight.
        """
        for (name, part), tensor in zip(self.parts.items(), value.tensors, strict=True):
            self._replace(name, part, tensor)
        self._settle()

    def share(self, other: Any) -> None:
        """Use the parts of another layer from now on, as tied weights do.

        Arguments:
            other: a layer over the same format and of the same sizes.
        """
        for name, parameter in other.parts.items():
            self.register_parameter(name, parameter)
        self._settle()

    @torch.no_grad()
    def dense(self) -> nn.Module:
        """The plain ``nn`` layer with the weight multiplied out; the bias parameter is taken over."""
        return self._plain(self.dense_class, self.weight, self.bias, **self._dense_options())

    def folded(self) -> nn.Module:
        """Plain ``nn`` layers that compute the same: the smallest there are."""
        return self.dense()

    def fold_candidates(self) -> list[nn.Module]:
        """Plain ``nn`` layers that compute the same, in every way there is; the dense layer comes first."""
        return [self.dense()]

    def _dense_options(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.dense_arguments}

    def _plain(self, kind: type[nn.Module], weight: Tensor, bias: Tensor | None, **options: Any) -> nn.Module:
        """An ``nn`` layer with the given tensors and options, in this layer's training mode."""
        if "bias" in kind.__init__.__annotations__:
            options["bias"] = bias is not None
        module = kind(**options, device="meta", dtype=weight.dtype)
        # Row-major as nn lays out its weights: another layout would be passed on to the outputs.
        value = weight.detach().clone(memory_format=torch.contiguous_format)
        module.weight = nn.Parameter(value, requires_grad=self.leading.requires_grad)
        if bias is not None:
            module.bias = bias
        return module.train(self.training)

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Random initial values.

        Arguments:
            generator: source of the random numbers; None is torch's global one.
        """
        raise NotImplementedError

    def _fan_in(self) -> int:
        """Numbers of the input that make up one number of the output."""
        return max(prod(self.weight_shape[1:]), 1)

    def _weight_variance(self) -> float:
        # nn.Linear and the convolutions draw from kaiming_uniform_(a=sqrt(5)), whose variance is 1 / (3 fan_in).
        return 1 / (3 * self._fan_in())

    # -- ranks and state -------------------------------------------------------------------------------

    @torch.no_grad()
    def _resize(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Make room for parts of other shapes, with uninitialised values where a shape changes."""
        for name, part in self.parts.items():
            if tuple(part.shape) != tuple(shapes[name]):
                fresh = torch.empty(tuple(shapes[name]), dtype=part.dtype, device=part.device)
                self._replace(name, part, fresh)
        self._settle()

    def _replace(self, name: str, part: nn.Parameter, tensor: Tensor) -> None:
        replace_data(part, tensor)

    def _settle(self) -> None:
        """Called whenever shapes of parts may have changed."""

    def _fits(self, stored: Mapping[str, Tensor]) -> bool:
        """Whether stored parts are those of a weight of this layer's shape, at whatever ranks."""
        raise NotImplementedError

    def _form(self) -> str:
        """What a weight of this layer is, for messages."""
        raise NotImplementedError

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[prefix + "ranks"] = torch.tensor(self.ranks)

    def _load_from_state_dict(
        self,
        state_dict: Any,
        prefix: str,
        local_metadata: Any,
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        stored = {name: state_dict.get(f"{prefix}{name}") for name in self.parts}
        if all(part is not None for part in stored.values()):  # nn.Module reports missing keys itself
            others = [
                key
                for key in state_dict
                if key.startswith(prefix)
                and _NUMBERED.fullmatch(key[len(prefix) :])
                and key[len(prefix) :] not in stored
            ]
            if others or not self._fits(stored):
                listed = ", ".join(f"{name} {tuple(part.shape)}" for name, part in stored.items())
                error_msgs.append(
                    f"{prefix[:-1] or type(self).__name__}: got {listed}, which is no weight of shape "
                    f"{self.weight_shape} {self._form()}; the layer is unchanged."
                )
                return
            self._resize({name: tuple(part.shape) for name, part in stored.items()})
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )
        if prefix + "ranks" in unexpected_keys:
            unexpected_keys.remove(prefix + "ranks")

    def extra_repr(self) -> str:
        """Constructor arguments and ranks, for ``print(model)``."""
        ranks = ", ".join(str(rank) for rank in self.ranks)
        parts = [f"{name}={getattr(self, name)!r}" for name in self.dense_arguments]
        return ", ".join([*parts, f"bias={self.bias is not None}", f"ranks=({ranks})"])


def normal_like(tensor: Tensor, generator: torch.Generator | None) -> Tensor:
    """Standard normal numbers, the same for every dtype, in float32 or better."""
    numbers = torch.empty_like(tensor, dtype=torch.float32).normal_(generator=generator)
    return numbers.to(torch.promote_types(tensor.dtype, torch.float32))
