"""ResNets that work at half the resolution of the image, for processors without an accelerator.

The first convolution (4x4, stride 2) halves the image, as the patch stems of newer networks do; then come three stages of
basic blocks (He et al. 2016, arXiv 1512.03385) at 1/2, 1/4 and 1/8 of the resolution. Convolutions of 48 channels and more
keep a CPU's matrix units busy, which the 16 channels of the thin ResNets do not. Inputs are images in [0,1], not normalised.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from zoo.architectures.resnet import stage

WIDTHS = (48, 96, 192)


class HalfResNet(nn.Module):
    """`forward` maps (N, channels, H, W) to (N, classes) for H and W of at least 4. `blocks` are those of each stage."""

    def __init__(self, blocks: int, classes: int, channels: int = 3) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, WIDTHS[0], 4, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(WIDTHS[0])
        self.layer1 = stage(WIDTHS[0], WIDTHS[0], blocks, stride=1)
        self.layer2 = stage(WIDTHS[0], WIDTHS[1], blocks, stride=2)
        self.layer3 = stage(WIDTHS[1], WIDTHS[2], blocks, stride=2)
        self.linear = nn.Linear(WIDTHS[2], classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean(dim=(2, 3)))


def half_resnet_14(classes: int, shape: tuple[int, int, int]) -> HalfResNet:
    """1.6 million parameters on CIFAR-10."""
    return HalfResNet(2, classes, channels=shape[0])
