"""One check for every function that takes a model."""

from torch import nn

from rankfold._errors import OptionError

__all__ = ["require_module"]


def require_module(model: object, where: str) -> None:
    """Refuse what is no module, such as the name of a model or its ``state_dict``.

    Arguments:
        model: what was given.
        where: name of the function, for the message.

    Raises:
        OptionError: it is no ``nn.Module``.

    Example:
        >>> require_module(nn.Linear(2, 2), "factorize")
    """
    if not isinstance(model, nn.Module):
        raise OptionError(f"{where}: model is a {type(model).__name__}; pass the nn.Module itself.")
