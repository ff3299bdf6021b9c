"""The thin ResNets that He et al. made for CIFAR (2016, arXiv 1512.03385, section 4.2): 16, 32 and 64 channels.

A CPU can train the smallest adversarially on real images. Shortcuts have no parameters: where the shape changes the image
is subsampled and padded with empty channels (their option A). The tensors have the names of the usual public code for
CIFAR (conv1, bn1, layer1 to layer3, linear). Inputs are images in [0,1], not normalised.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

WIDTHS = (16, 32, 64)


class ThinBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut without parameters."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.stride, self.added = stride, channels_out - channels_in

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.relu(self.bn1(self.conv1(x)))
        shortcut = x[:, :, :: self.stride, :: self.stride]
        if self.added:
            half = self.added // 2
            shortcut = F.pad(shortcut, (0, 0, 0, 0, half, self.added - half))
        return F.relu(self.bn2(self.conv2(hidden)) + shortcut)


class ThinResNet(nn.Module):
    """Three stages of `blocks` blocks at 1, 1/2 and 1/4 of the resolution, then the mean over positions.

    `forward` maps (N, channels, H, W) to (N, classes) for any H and W.
    """

    def __init__(self, blocks: int, classes: int, channels: int = 3) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, WIDTHS[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(WIDTHS[0])
        self.layer1 = _stage(WIDTHS[0], WIDTHS[0], blocks, stride=1)
        self.layer2 = _stage(WIDTHS[0], WIDTHS[1], blocks, stride=2)
        self.layer3 = _stage(WIDTHS[1], WIDTHS[2], blocks, stride=2)
        self.linear = nn.Linear(WIDTHS[2], classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        for stage in (self.layer1, self.layer2, self.layer3):
            x = stage(x)
        return self.linear(x.mean(dim=(2, 3)))


def _stage(channels_in: int, channels_out: int, blocks: int, stride: int) -> nn.Sequential:
    first = ThinBlock(channels_in, channels_out, stride)
    return nn.Sequential(first, *(ThinBlock(channels_out, channels_out, 1) for _ in range(blocks - 1)))


def resnet_8(classes: int, shape: tuple[int, int, int]) -> ThinResNet:
    """75 thousand parameters on CIFAR-10."""
    return ThinResNet(1, classes, channels=shape[0])


def resnet_20(classes: int, shape: tuple[int, int, int]) -> ThinResNet:
    """270 thousand parameters on CIFAR-10."""
    return ThinResNet(3, classes, channels=shape[0])
