"""Small convolutional networks for small images."""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

from zoo.entrant import EntrantError


def digits_cnn(classes: int, shape: tuple[int, int, int]) -> nn.Sequential:
    """Two 3x3 convolutions (16, then 32 channels at half the resolution) and two linear layers; no normalisation.

    About 39,000 parameters on 8x8 grey images: small enough that AutoAttack on 200 images takes seconds on a CPU.
    """
    channels, height, width = shape
    return nn.Sequential(
        nn.Conv2d(channels, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * ((height + 1) // 2) * ((width + 1) // 2), 64),
        nn.ReLU(),
        nn.Linear(64, classes),
    )


def mnist_cnn(classes: int, shape: tuple[int, int, int]) -> nn.Sequential:
    """Two strided convolutions (5x5 by 3, then 4x4 by 2) and two linear layers; no normalisation.

    About 42,000 parameters on 28x28 grey images: an adversarial epoch of MNIST takes a core less than half a minute.
    Raises EntrantError for images of less than 8x8 pixels.
    """
    channels, height, width = shape
    if min(height, width) < 8:
        raise EntrantError(
            f"expected images of at least 8x8 pixels for mnist-cnn, got {height}x{width}; choose digits-cnn"
        )
    rows, columns = (((side - 5) // 3 + 1) // 2 for side in (height, width))
    return nn.Sequential(
        nn.Conv2d(channels, 16, 5, stride=3),
        nn.ReLU(),
        nn.Conv2d(16, 32, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * rows * columns, 64),
        nn.ReLU(),
        nn.Linear(64, classes),
    )


class SmallCNN(nn.Module):
    """TRADES' network for MNIST (Zhang et al. 2019), by its names of layers: four 3x3 convolutions without padding, two
    poolings, three linear layers with dropout behind the first. 312,202 parameters on 28x28 grey images."""

    def __init__(self, classes: int, shape: tuple[int, int, int]) -> None:
        super().__init__()
        channels, height, width = shape
        self.feature_extractor = nn.Sequential(
            OrderedDict(
                conv1=nn.Conv2d(channels, 32, 3),
                relu1=nn.ReLU(),
                conv2=nn.Conv2d(32, 32, 3),
                relu2=nn.ReLU(),
                maxpool1=nn.MaxPool2d(2),
                conv3=nn.Conv2d(32, 64, 3),
                relu3=nn.ReLU(),
                conv4=nn.Conv2d(64, 64, 3),
                relu4=nn.ReLU(),
                maxpool2=nn.MaxPool2d(2),
            )
        )
        if min(height, width) < 16:
            raise EntrantError(
                f"expected images of at least 16x16 pixels for small-cnn, got {height}x{width}; choose digits-cnn"
            )
        left = [((side - 4) // 2 - 4) // 2 for side in (height, width)]
        self.classifier = nn.Sequential(
            OrderedDict(
                fc1=nn.Linear(64 * left[0] * left[1], 200),
                relu1=nn.ReLU(),
                drop=nn.Dropout(0.5),
                fc2=nn.Linear(200, 200),
                relu2=nn.ReLU(),
                fc3=nn.Linear(200, classes),
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) in [0,1] to logits (N, K)."""
        return self.classifier(self.feature_extractor(x).flatten(1))


def small_cnn(classes: int, shape: tuple[int, int, int]) -> SmallCNN:
    """See SmallCNN. Raises EntrantError for images of less than 16x16 pixels."""
    return SmallCNN(classes, shape)
