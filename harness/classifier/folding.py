"""BatchNorm folded into convolutions, for the inner attack: in eval mode the two are one affine map of the images.

The attack makes four fifths of a training step's passes, all with fixed statistics. Folded, they take about a tenth less
time on a ResNet. The function is the same up to rounding.
"""

from __future__ import annotations

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_weights


class Folded(nn.Module):
    """A network in eval mode, each convolution that feeds nothing but a BatchNorm made one with it.

    The other layers are the network's own. `refresh` takes over the weights of the convolutions after they have changed.
    """

    def __init__(self, network: nn.Module) -> None:
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
        self.network = fx.GraphModule(root, graph)

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


def folded(network: nn.Module) -> Folded | None:
    """The network with BatchNorm folded; None where there is nothing to fold, or its forward cannot be traced."""
    try:
        made = Folded(network)
    except (fx.proxy.TraceError, TypeError, NameError, AttributeError, RuntimeError):
        return None  # control flow that depends on values: the attack then uses the network as it is
    return made if len(made) else None
