"""ResNets for small images (He et al. 2016, arXiv 1512.03385), with a 3x3 first convolution and no first pooling.

The tensors have the names of the usual CIFAR code (conv1, bn1, layer1 to layer4, linear), so state dicts of
RobustBench's `ResNet18`, of pyautoattack's example and of many papers load as they are. Inputs are images in [0,1], not
normalised.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

WIDTHS = (64, 128, 256, 512)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut, which is a 1x1 convolution where the shape changes."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.shortcut = nn.Sequential()
        if stride != 1 or channels_in != channels_out:
            self.shortcut.append(nn.Conv2d(channels_in, channels_out, 1, stride=stride, bias=False))
            self.shortcut.append(nn.BatchNorm2d(channels_out))

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(hidden)) + self.shortcut(x))


class ResNet(nn.Module):
    """Four stages of basic blocks at 1, 1/2, 1/4 and 1/8 of the resolution, then the mean over positions.

    `forward` maps (N, channels, H, W) to (N, classes) for any H and W: 32 on CIFAR, 64 on Tiny-ImageNet.
    """

    def __init__(self, blocks: tuple[int, int, int, int], classes: int, channels: int = 3) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, WIDTHS[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(WIDTHS[0])
        self.layer1 = stage(WIDTHS[0], WIDTHS[0], blocks[0], stride=1)
        self.layer2 = stage(WIDTHS[0], WIDTHS[1], blocks[1], stride=2)
        self.layer3 = stage(WIDTHS[1], WIDTHS[2], blocks[2], stride=2)
        self.layer4 = stage(WIDTHS[2], WIDTHS[3], blocks[3], stride=2)
        self.linear = nn.Linear(WIDTHS[3], classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
        return self.linear(x.mean(dim=(2, 3)))


def stage(channels_in: int, channels_out: int, blocks: int, stride: int) -> nn.Sequential:
    """Basic blocks one after the other; the first changes width and resolution."""
    first = BasicBlock(channels_in, channels_out, stride)
    return nn.Sequential(first, *(BasicBlock(channels_out, channels_out, 1) for _ in range(blocks - 1)))


def resnet_18(classes: int, shape: tuple[int, int, int]) -> ResNet:
    """11.2 million parameters on CIFAR-10."""
    return ResNet((2, 2, 2, 2), classes, channels=shape[0])


def resnet_34(classes: int, shape: tuple[int, int, int]) -> ResNet:
    """21.3 million parameters on CIFAR-10."""
    return ResNet((3, 4, 6, 3), classes, channels=shape[0])
