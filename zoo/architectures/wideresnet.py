"""Wide ResNets (Zagoruyko & Komodakis 2016, arXiv 1605.07146) for small images.

The tensors have the names of the code that TRADES published and RobustBench's `WideResNet` follows (conv1, block1 to
block3 with `layer`, bn1, fc). One version of that code builds a second copy of the first stage, `sub_block1`, which its
forward pass never calls; checkpoints of Carmon 2019, TRADES and others hold its tensors. They are dropped on loading:
both layouts load strictly and give the same function. Inputs are images in [0,1], not normalised.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

UNUSED = "sub_block1."


class WideBlock(nn.Module):
    """Two 3x3 convolutions after normalisation and ReLU, and a shortcut: a 1x1 convolution where widths differ."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(channels_in)
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        self.convShortcut = None  # spelt as in the checkpoints
        if channels_in != channels_out:
            self.convShortcut = nn.Conv2d(channels_in, channels_out, 1, stride=stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        active = F.relu(self.bn1(x))
        shortcut = x if self.convShortcut is None else self.convShortcut(active)
        return self.conv2(F.relu(self.bn2(self.conv1(active)))) + shortcut


class Stage(nn.Module):
    """Blocks one after the other; the first one changes width and resolution."""

    def __init__(self, channels_in: int, channels_out: int, blocks: int, stride: int) -> None:
        super().__init__()
        first = WideBlock(channels_in, channels_out, stride)
        self.layer = nn.Sequential(first, *(WideBlock(channels_out, channels_out, 1) for _ in range(blocks - 1)))

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


class WideResNet(nn.Module):
    """Three stages at 1, 1/2 and 1/4 of the resolution; (N, channels, H, W) to (N, classes) for any H and W.

    `depth` counts convolutions and is 6 n + 4; `width` multiplies the channels 16, 32, 64 of the stages.
    """

    unused = (UNUSED,)

    def __init__(self, depth: int, width: int, classes: int, channels: int = 3) -> None:
        super().__init__()
        blocks, rest = divmod(depth - 4, 6)
        if rest:
            raise ValueError(f"expected a depth of 6 n + 4, got {depth}")
        self.conv1 = nn.Conv2d(channels, 16, 3, padding=1, bias=False)
        self.block1 = Stage(16, 16 * width, blocks, stride=1)
        self.block2 = Stage(16 * width, 32 * width, blocks, stride=2)
        self.block3 = Stage(32 * width, 64 * width, blocks, stride=2)
        self.bn1 = nn.BatchNorm2d(64 * width)
        self.fc = nn.Linear(64 * width, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self.fc.bias)
        self.register_load_state_dict_pre_hook(_drop_unused)

    def forward(self, x: Tensor) -> Tensor:
        x = self.block3(self.block2(self.block1(self.conv1(x))))
        return self.fc(F.relu(self.bn1(x)).mean(dim=(2, 3)))


def _drop_unused(module: nn.Module, state_dict: dict[str, Any], prefix: str, *_: Any) -> None:
    # load_state_dict hands its hooks a copy: the caller's dict keeps its keys
    for key in [key for key in state_dict if key.startswith(prefix + UNUSED)]:
        del state_dict[key]


def wrn_16_4(classes: int, shape: tuple[int, int, int]) -> WideResNet:
    """2.7 million parameters on CIFAR-10."""
    return WideResNet(16, 4, classes, channels=shape[0])


def wrn_28_10(classes: int, shape: tuple[int, int, int]) -> WideResNet:
    """36.5 million parameters on CIFAR-10."""
    return WideResNet(28, 10, classes, channels=shape[0])


def wrn_34_10(classes: int, shape: tuple[int, int, int]) -> WideResNet:
    """46.2 million parameters on CIFAR-10."""
    return WideResNet(34, 10, classes, channels=shape[0])
