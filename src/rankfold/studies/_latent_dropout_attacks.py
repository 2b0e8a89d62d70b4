"""Attacks on a classifier within a box around each input, also on one that is random."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["attacked", "signed_step"]


def signed_step(
    model: Callable[[Tensor], Tensor], inputs: Tensor, targets: Tensor, *, samples: int = 1
) -> Tensor:
    """The signs of the gradient of the loss in the inputs.

    Arguments:
        model: from inputs to logits; may be random.
        inputs, targets: images and class numbers.
        samples: draws of a random model that the gradient is averaged over.

    Reference:
        Athalye, Engstrom, Ilyas, Kwok 2018, "Synthesizing robust adversarial examples", for the expectation over
        transformations (EOT).
    """
    images = inputs.detach().requires_grad_()
    losses = [F.cross_entropy(model(images), targets) for _ in range(samples)]
    (gradient,) = torch.autograd.grad(torch.stack(losses).sum(), images)
    return gradient.sign()


def attacked(
    model: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    *,
    size: float,
    steps: int,
    samples: int = 1,
    generator: torch.Generator,
) -> Tensor:
    """Inputs changed so that the loss grows: one step of the whole size, or several of a quarter from a random start.

    Arguments:
        model: classifier in evaluation mode.
        inputs: pixels in [0, 1].
        targets: class numbers.
        size: largest change of a pixel.
        steps: 1 for the fast gradient sign method (FGSM), more for projected gradient descent (PGD).
        samples: draws that each gradient is averaged over.
        generator: source of the random start.

    Returns:
        Pixels in [0, 1] no farther than the size from the inputs.

    Reference:
        Goodfellow, Shlens, Szegedy 2015, "Explaining and harnessing adversarial examples"; Madry, Makelov, Schmidt,
        Tsipras, Vladu 2018, "Towards deep learning models resistant to adversarial attacks".
    """
    if steps == 1:
        return (inputs + size * signed_step(model, inputs, targets, samples=samples)).clamp(0, 1)
    found = inputs + size * (2 * torch.rand(inputs.shape, generator=generator) - 1)
    for _ in range(steps):
        found = found + 0.25 * size * signed_step(model, found.clamp(0, 1), targets, samples=samples)
        found = (inputs + (found - inputs).clamp(-size, size)).clamp(0, 1)
    return found
