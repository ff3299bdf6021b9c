"""A network with fixed weights, written for the passes of an attack: the same function up to rounding, in less time.

In eval mode a convolution and the BatchNorm after it are one affine map of the images. That is all that the inner attack of
training asks for. A search asks for two things more: any memory layout is taken (`view` becomes `reshape`), and on the CPU
convolutions of few channels, as the first one is, get their images' gradient as one matrix product.
"""

from __future__ import annotations

from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.autograd.function import once_differentiable
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_weights

_FEW = 4
"""Input channels up to which the matrix product was measured to be the faster."""


class Folded(nn.Module):
    """A network in eval mode, each convolution that feeds nothing but a BatchNorm made one with it.

    The other layers are the network's own. `refresh` takes over the weights of the convolutions after they have changed.
    """

    def __init__(self, network: nn.Module, *, for_search: bool = False) -> None:
        super().__init__()
        graph = fx.Tracer().trace(network)
        modules = dict(network.named_modules())
        self._pairs: list[tuple[nn.Conv2d, nn.Conv2d, _BatchNorm]] = []
        for node in list(graph.nodes):
            feeder = node.args[0] if node.op == "call_module" and node.args else None
            if not isinstance(feeder, fx.Node) or feeder.op != "call_module" or len(feeder.users) > 1:
                continue
            # a feeder that is itself a pair made one is no module of the network's
            norm, convolution = modules[str(node.target)], modules.get(str(feeder.target))
            if not isinstance(norm, _BatchNorm) or type(convolution) is not nn.Conv2d or norm.running_mean is None:
                continue
            self._pairs.append((_like(convolution), convolution, norm))
            feeder.target = f"folded_{len(self._pairs)}"
            node.replace_all_uses_with(feeder)
            graph.erase_node(node)
        root: dict[str, nn.Module] = modules | {
            f"folded_{number}": folded for number, (folded, _, _) in enumerate(self._pairs, start=1)
        }
        self.rewritten = _for_search(graph, root) if for_search else 0
        # parameters and buffers that the forward names itself, as those of a normalisation
        attributes: dict[str, Any] = {
            node.target: attrgetter(node.target)(network) for node in graph.nodes if node.op == "get_attr"
        }
        self.network = fx.GraphModule(root | attributes, graph)

    def __len__(self) -> int:
        """How many pairs are folded."""
        return len(self._pairs)

    @torch.no_grad()
    def refresh(self) -> None:
        """Fold the weights and statistics as they are now."""
        for folded, convolution, norm in self._pairs:
            assert norm.running_mean is not None
            assert norm.running_var is not None
            assert folded.bias is not None
            weight, bias = fuse_conv_bn_weights(
                convolution.weight,
                convolution.bias,
                norm.running_mean,
                norm.running_var,
                norm.eps,
                norm.weight,
                norm.bias,
            )
            folded.weight.copy_(weight)
            folded.bias.copy_(bias)

    def forward(self, x: Tensor) -> Tensor:
        """As the network's, in eval mode."""
        return self.network(x)


def _like(convolution: nn.Conv2d) -> nn.Conv2d:
    """A convolution of the same form, with a bias and weights of its own that take no gradients."""
    with torch.random.fork_rng(devices=[]):
        made = nn.Conv2d(
            convolution.in_channels,
            convolution.out_channels,
            convolution.kernel_size,  # type: ignore[arg-type]
            convolution.stride,  # type: ignore[arg-type]
            convolution.padding,  # type: ignore[arg-type]
            convolution.dilation,  # type: ignore[arg-type]
            convolution.groups,
            padding_mode=convolution.padding_mode,
            device=convolution.weight.device,
        )
    return made.requires_grad_(False).to(memory_format=torch.channels_last)


def _for_search(graph: fx.Graph, modules: dict[str, nn.Module]) -> int:
    """Rewrite what a search has no use for in that form; gives how many nodes were. New modules are put to the others."""
    count = 0
    for node in list(graph.nodes):
        if node.op == "call_method" and node.target == "view":
            node.target = "reshape"
            count += 1
        elif node.op == "call_module" and type(found := modules[str(node.target)]) is nn.Conv2d and _narrow(found):
            count += 1
            node.target = f"narrow_{count}"
            modules[node.target] = Narrow(found)
    return count


def _narrow(convolution: nn.Conv2d) -> bool:
    plain = convolution.groups == 1 and convolution.padding_mode == "zeros" and isinstance(convolution.padding, tuple)
    return plain and convolution.in_channels <= _FEW and convolution.weight.device.type == "cpu"


class Narrow(nn.Module):
    """A convolution of few input channels, whose gradient is taken to the images alone."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.convolution = convolution

    def forward(self, x: Tensor) -> Tensor:
        """As the convolution's."""
        if not (torch.is_grad_enabled() and x.requires_grad):
            return self.convolution(x)
        return _ByColumns.apply(x, self.convolution)


class _ByColumns(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, convolution: nn.Conv2d) -> Tensor:
        ctx.convolution, ctx.x = convolution, (x.shape[2:], x.dtype)
        return convolution(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        made, (side, dtype) = ctx.convolution, ctx.x
        columns = made.weight.detach().flatten(1).T.to(gradient.dtype) @ gradient.flatten(2)
        columns = columns.unflatten(2, gradient.shape[2:]).unflatten(1, (made.in_channels, *made.kernel_size))
        return _summed(columns, side, made).to(dtype), None


def _summed(columns: Tensor, side: torch.Size, made: nn.Conv2d) -> Tensor:
    """Each window's columns (N, C, kh, kw, h, w) put back where they were taken from, and summed: (N, C, *side).

    As F.fold does, which goes image by image; here it is window pixel by window pixel.
    """
    assert not isinstance(made.padding, str)
    (top, left), (down, across), (far, wide) = made.padding, made.stride, made.dilation
    height, width = columns.shape[4:]
    rows, cols = side[0] + 2 * top, side[1] + 2 * left
    found = columns.new_zeros(*columns.shape[:2], rows, cols)
    for i in range(columns.shape[2]):
        for j in range(columns.shape[3]):
            at = slice(i * far, i * far + down * height, down), slice(j * wide, j * wide + across * width, across)
            window = found[:, :, at[0], at[1]]
            window += columns[:, :, i, j]
    return found[:, :, top : top + side[0], left : left + side[1]]


def folded(network: nn.Module, *, for_search: bool = False) -> Folded | None:
    """The network with BatchNorm folded; None where there is nothing to rewrite, or its forward cannot be traced.

    `for_search`: its weights will not change, and gradients are taken to the images alone.
    """
    try:
        made = Folded(network, for_search=for_search)
    except Exception:  # noqa: BLE001  whatever a forward raises when it is given a proxy in place of images
        return None  # the attack then uses the network as it is
    return made if len(made) or made.rewritten else None
