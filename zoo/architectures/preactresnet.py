"""Pre-activation ResNets for small images (He et al. 2016, arXiv 1603.05027): ReLU comes before a convolution.

Of the variants in use this is the paper's: shortcuts that change the shape start from the activated input, and the last
stage is normalised before the mean over positions. The tensors have the names of RobustBench's `PreActResNet` with
`PreActBlockV2` and `bn_before_fc=True` (Rice 2020, Addepalli 2021). State dicts of the variant without the last
normalisation (Andriushchenko 2020, Wong 2020) lack `bn` and are refused: the same tensors mean another function there.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from zoo.architectures.resnet import WIDTHS


class PreActBlock(nn.Module):
    """Two 3x3 convolutions, each after normalisation and ReLU, and a shortcut."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(channels_in)
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        self.shortcut: nn.Sequential | None = None
        if stride != 1 or channels_in != channels_out:
            self.shortcut = nn.Sequential(nn.Conv2d(channels_in, channels_out, 1, stride=stride, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        active = F.relu(self.bn1(x))
        shortcut = x if self.shortcut is None else self.shortcut(active)
        return self.conv2(F.relu(self.bn2(self.conv1(active)))) + shortcut


class PreActResNet(nn.Module):
    """Four stages of pre-activation blocks; (N, channels, H, W) to (N, classes) for any H and W."""

    def __init__(self, blocks: tuple[int, int, int, int], classes: int, channels: int = 3) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, WIDTHS[0], 3, padding=1, bias=False)
        self.layer1 = _stage(WIDTHS[0], WIDTHS[0], blocks[0], stride=1)
        self.layer2 = _stage(WIDTHS[0], WIDTHS[1], blocks[1], stride=2)
        self.layer3 = _stage(WIDTHS[1], WIDTHS[2], blocks[2], stride=2)
        self.layer4 = _stage(WIDTHS[2], WIDTHS[3], blocks[3], stride=2)
        self.bn = nn.BatchNorm2d(WIDTHS[3])
        self.linear = nn.Linear(WIDTHS[3], classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
        return self.linear(F.relu(self.bn(x)).mean(dim=(2, 3)))


def _stage(channels_in: int, channels_out: int, blocks: int, stride: int) -> nn.Sequential:
    first = PreActBlock(channels_in, channels_out, stride)
    return nn.Sequential(first, *(PreActBlock(channels_out, channels_out, 1) for _ in range(blocks - 1)))


def preact_resnet_18(classes: int, shape: tuple[int, int, int]) -> PreActResNet:
    """11.2 million parameters on CIFAR-10."""
    return PreActResNet((2, 2, 2, 2), classes, channels=shape[0])
