"""A WEAT_adv step of the harness beside a plain eager one: python benchmarks/weat_step.py [--help].

The plain step is written here from the formulas, as published code has them: natural probabilities are computed again, with
a graph, in each attack step, the parameters require gradients during the attack, everything in float32 and PyTorch's
default memory format. The steps alternate, and the ratio is that of the sums over all rounds but the first.

Both get the same weights, images and random start. Signs of gradients near zero turn over with rounding, and ten sign steps
carry that into the loss (the two plain variants differ by as much as the harness does from either), so the equality of the
losses is checked once where the roundings are the same: the plain step in the harness's memory format against the
harness's without BatchNorm folded into the convolutions.
"""

from __future__ import annotations

import argparse
import time

import torch
import torch.nn.functional as F
from torch import nn

from harness.suites.suite import SUITES
from harness.training.recipes import Recipe, find_recipe
from harness.training.step import Step
from zoo.architectures import build


def plain_step(model: nn.Module, x: torch.Tensor, y: torch.Tensor, start: torch.Tensor, *, accumulate: bool) -> float:
    """WEAT_adv as an eager loop; `accumulate`: the attack calls backward() and fills the parameters' gradients, too."""
    eps, beta = 8 / 255, 7.0
    model.eval()
    x_adv = start.clone()
    for _ in range(10):
        x_adv.requires_grad_()
        loss = F.kl_div(model(x_adv).log_softmax(1), model(x).log_softmax(1), reduction="sum", log_target=True)
        if accumulate:
            loss.backward()
            gradient = x_adv.grad
        else:
            (gradient,) = torch.autograd.grad(loss, [x_adv])
        x_adv = x_adv.detach() + 2 / 255 * gradient.sign()
        x_adv = torch.min(torch.max(x_adv, x - eps), x + eps).clamp(0, 1)
    model.train()
    model.zero_grad()
    logits, logits_adv = model(x), model(x_adv)
    weights = 1 / F.softplus(torch.logsumexp(logits.detach(), 1).abs())
    divergence = F.kl_div(logits_adv.log_softmax(1), logits.softmax(1), reduction="none").sum(1)
    loss = (weights * F.cross_entropy(logits_adv, y, reduction="none")).mean() + beta * (weights * divergence).mean()
    loss.backward()
    return loss.item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architecture", default="resnet-18")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    device, suite = torch.device(chosen.device), SUITES["cifar10"]
    recipe = find_recipe("weat-adv", suite).changed({"architecture": chosen.architecture}, "here")
    torch.manual_seed(0)
    x, y = (
        torch.rand(chosen.batch_size, *suite.shape, device=device),
        torch.randint(10, (chosen.batch_size,), device=device),
    )
    start = (x + 0.001 * torch.randn(x.shape, generator=torch.Generator(device).manual_seed(1), device=device)).clamp(
        0, 1
    )

    def network() -> nn.Module:
        torch.manual_seed(0)
        return build(chosen.architecture, suite.classes, suite.shape).to(device)

    def harness_step(of: Recipe, *, fold: bool = True) -> Step:
        return Step(network().train(), suite.threat, of, device, fold=fold)

    fp32, bf16 = harness_step(recipe), harness_step(recipe.changed({"precision": "bf16"}, "here"))
    plain = network()
    steps = {
        "plain, autograd.grad": lambda: plain_step(plain, x, y, start, accumulate=False),
        "plain, backward()": lambda: plain_step(plain, x, y, start, accumulate=True),
        "harness fp32": lambda: (fp32(x, y, torch.Generator(device).manual_seed(1)).loss / len(y)).item(),
        "harness bf16": lambda: (bf16(x, y, torch.Generator(device).manual_seed(1)).loss / len(y)).item(),
    }
    seconds, losses = dict.fromkeys(steps, 0.0), {}
    for number in range(chosen.rounds + 1):
        for name, step in steps.items():
            begun = time.perf_counter()
            loss = step()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if number:
                seconds[name] += time.perf_counter() - begun
            else:
                losses[name] = loss  # before BatchNorm's statistics have moved
    print(f"torch {torch.__version__}, {chosen}")
    for name in steps:
        print(
            f"{name:22} loss {losses[name]:.6f}  {seconds[name] / chosen.rounds:.3f} s a step"
            f"  {seconds['plain, autograd.grad'] / seconds[name]:.2f}x  {seconds['plain, backward()'] / seconds[name]:.2f}x"
        )
    last = torch.channels_last
    alike = network().to(memory_format=last)
    loss = plain_step(
        alike, x.contiguous(memory_format=last), y, start.contiguous(memory_format=last), accumulate=False
    )
    unfolded = harness_step(recipe, fold=False)(x, y, torch.Generator(device).manual_seed(1)).loss / len(y)
    print(f"with equal roundings: plain {loss:.6f}, harness {unfolded:.6f}")
    if abs(loss - unfolded) > 1e-5 * abs(loss):
        raise SystemExit("the losses differ: the ratio means nothing")


if __name__ == "__main__":
    main()
