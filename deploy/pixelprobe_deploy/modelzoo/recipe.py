"""How each shipped CIFAR-10 network was trained: the numbers that its model card repeats."""

from __future__ import annotations

from dataclasses import dataclass

# Mean and standard deviation of the CIFAR-10 training pixels, channel by channel, of images in [0, 1].
CIFAR10_MEAN = (0.4914, 0.4822, 0.4465)
CIFAR10_STD = (0.2470, 0.2435, 0.2616)


@dataclass(frozen=True)
class Recipe:
    """SGD with Nesterov momentum and a one-cycle learning rate; random crop and flip.

    Where one cycle is not enough a second, lower one follows for ``restart_epochs``.
    ``dropout`` is far below the papers' 0.5: their hundreds of epochs need it, a short training does not.
    """

    architecture: str
    epochs: int = 8
    batch_size: int = 128
    peak_learning_rate: float = 0.1
    restart_epochs: int = 0
    restart_peak_learning_rate: float = 0.05
    weight_decay: float = 5e-4
    momentum: float = 0.9
    dropout: float = 0.1
    crop_padding: int = 4
    seed: int = 0


RECIPES = {
    "allconv": Recipe("allconv"),
    "nin": Recipe("nin", restart_epochs=5),
    "vgg16": Recipe("vgg16", epochs=7, restart_epochs=4),
}
