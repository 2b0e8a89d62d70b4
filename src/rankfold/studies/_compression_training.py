"""One training of the study of compression: the same recipe whatever the form of the network."""

import math
import time
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from rankfold._errors import NonFiniteError
from rankfold._registry import Registry
from rankfold.data import batches
from rankfold.studies._compression_methods import METHODS, Method, Start, Trained
from rankfold.studies._compression_networks import NETWORKS, Split, compressed_layers, load_split
from rankfold.studies._records import Case, Record, Unavailable
from rankfold.studies._study import Setting
from rankfold.training import evaluate

__all__ = ["augmented", "run_case", "train_case"]

_MOMENTUM = 0.9
_RISE = 0.1  # share of the steps over which the learning rate rises before its cosine; as in rankfold train
_SHIFT = 4  # pixels; He et al. 2016, "Deep residual learning for image recognition", section 4.2


def run_case(case: Case, setting: Setting) -> Record:
    """One case of the study of compression; :func:`train_case` with its methods."""
    return train_case(case, setting, METHODS)


def train_case(case: Case, setting: Setting, methods: Registry[Method]) -> Record:
    """Train one network by one method and measure it.

    Arguments:
        case: network, method, point, recipe, data and seed.
        setting: where.
        methods: has that of the case.

    Returns:
        Test and held-out accuracy in percent, compression of the compressed layers in percent, the parameters that
        are left and were there before, seconds of training, and whether the training diverged; then accuracies are
        those of guessing, and zero on what was held out.

    Raises:
        Unavailable: the network needs a GPU.
        DataError: the data set is not there.
    """
    spec = NETWORKS[case["network"]]
    if spec.needs_gpu and setting.device.type != "cuda":
        raise Unavailable(f"{spec.title} takes hours without a GPU; choose a machine with one.")
    data = load_split(
        spec.dataset,
        setting.data_dir,
        case["images"],
        case["held_out"],
        case["test_images"],
        spec.pooled,
    ).to(setting.device)
    torch.manual_seed(case["seed"])
    network = spec.build(data.classes).to(setting.device)
    before = sum(_numel(layer.weight) for layer in compressed_layers(network, spec.compressed))
    steps = case["epochs"] * math.ceil(len(data.train[1]) / case["batch_size"])
    start = Start(
        network=network,
        spec=spec,
        point=case["point"],
        batch=next(_epoch(case, data, 0, augment=False)),
        steps=steps,
        options={
            "lr": case["learning_rate"],
            "momentum": _MOMENTUM,
            "weight_decay": case["weight_decay"],
        },
        seed=case["seed"],
    )
    trained = methods[case["method"]].begin(start)
    started = time.perf_counter()
    complete = _trained(case, data, setting, start, trained)
    after = trained.finish(complete)
    seconds = time.perf_counter() - started
    accuracy, held_out = 1 / data.classes, 0.0
    if complete:
        accuracy = evaluate(network, *data.test, batch_size=500)[1]
        held_out = evaluate(network, *data.held_out, batch_size=500)[1]
    return {
        "accuracy": 100 * accuracy,
        "held_out_accuracy": 100 * held_out,
        "compression": 100 * (1 - after / before),
        "parameters": after,
        "parameters_dense": before,
        "seconds": seconds,
        "diverged": not complete,
    }


def _trained(case: Case, data: Split, setting: Setting, start: Start, trained: Trained) -> bool:
    """Whether the training came to its end with a finite loss."""
    schedule = LambdaLR(trained.optimizer, lambda done: _rate(done / start.steps))
    start.network.train()
    done = 0
    for epoch in range(case["epochs"]):
        loss = torch.zeros(())
        for inputs, targets in _epoch(case, data, epoch, augment=start.spec.augmented):
            trained.optimizer.zero_grad()
            loss = F.cross_entropy(start.network(inputs), targets, label_smoothing=case["label_smoothing"])
            loss.backward()
            try:
                trained.optimizer.step()
            except NonFiniteError:
                return False
            schedule.step()
            done += 1
            trained.after_step(done)
        if not math.isfinite(loss.item()):
            return False
        setting.progress(f"{case['network']} {case['method']}: epoch {epoch + 1} of {case['epochs']}")
    return True


def _rate(share: float) -> float:
    """Factor on the learning rate: a linear rise, then half a cosine down to 0 (Loshchilov, Hutter 2017)."""
    return min(share / _RISE, 1.0) * 0.5 * (1 + math.cos(math.pi * share))


def _epoch(case: Case, data: Split, epoch: int, *, augment: bool) -> Iterator[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(1000 * case["seed"] + epoch)
    for inputs, targets in batches(*data.train, case["batch_size"], generator=generator):
        yield (augmented(inputs, generator) if augment else inputs), targets


def augmented(inputs: Tensor, generator: torch.Generator) -> Tensor:
    """Shift every image by up to four pixels in each direction, zeros coming in, and mirror every other one.

    Arguments:
        inputs: ``(N, C, H, W)``.
        generator: on the CPU.

    Returns:
        New images of the same shape.

    Reference:
        He, Zhang, Ren, Sun 2016, "Deep residual learning for image recognition", section 4.2.
    """
    count, _, height, width = inputs.shape
    shifts = torch.randint(2 * _SHIFT + 1, (2, count), generator=generator).to(inputs.device)
    mirrored = torch.randint(2, (count,), generator=generator, dtype=torch.bool).to(inputs.device)
    rows = shifts[0, :, None] + torch.arange(height, device=inputs.device)
    columns = shifts[1, :, None] + torch.arange(width, device=inputs.device)
    columns = torch.where(mirrored[:, None], columns.flip(1), columns)
    padded = F.pad(inputs, (_SHIFT,) * 4).permute(0, 2, 3, 1)  # channels last: one gather takes whole pixels
    images = torch.arange(count, device=inputs.device)[:, None, None]
    return padded[images, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _numel(weight: object) -> int:
    assert isinstance(weight, Tensor)
    return weight.numel()
