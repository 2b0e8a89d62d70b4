"""Put one module in the place of another."""

from torch import nn

__all__ = ["HOOKS", "names_by_module", "replace_module"]

#: Everything a user can have registered on a module to be called around its forward and backward.
HOOKS = (
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_is_full_backward_hook",
)


def names_by_module(model: nn.Module) -> dict[nn.Module, list[str]]:
    """Every module of a model with all the names it goes by; more than one where a module is reused."""
    names: dict[nn.Module, list[str]] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        names.setdefault(module, []).append(name)
    return names


def replace_module(model: nn.Module, names: list[str], old: nn.Module, new: nn.Module) -> None:
    """Set ``new`` under each name of ``old`` and move the hooks along."""
    for attribute in HOOKS:
        setattr(new, attribute, getattr(old, attribute))
    for name in names:
        model.set_submodule(name, new)
