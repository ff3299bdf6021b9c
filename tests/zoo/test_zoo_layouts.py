"""Layouts in which real checkpoints lie: each one loads, and its logits are those of the network that was saved."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo import Domain, EntrantError, find
from zoo.architectures.thin_resnet import ThinResNet
from zoo.checkpoints import CheckpointEntrant

State = dict[str, Tensor]
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2471, 0.2435, 0.2616)
SAID = "@mean=0.4914,0.4822,0.4465@std=0.2471,0.2435,0.2616"


def randomised(network: nn.Module, seed: int = 0) -> nn.Module:
    """Every tensor another, statistics of batch norms too: whatever goes to the wrong place changes the logits."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if tensor.is_floating_point():
                noise = torch.rand(tensor.shape, generator=generator)
                tensor.copy_(
                    0.5 + noise if name.endswith("running_var") else (noise - 0.5) * (0.4 if tensor.ndim > 1 else 1.0)
                )
    return network.eval()


def images(shape: tuple[int, int, int]) -> Tensor:
    return torch.rand(3, *shape, generator=torch.Generator().manual_seed(1))


def logits(network: nn.Module, shape: tuple[int, int, int] = (3, 32, 32)) -> Tensor:
    with torch.no_grad():
        return network(images(shape))


def loaded(path: Path, domain: Domain, rest: str) -> nn.Module:
    entrant = find(f"checkpoint:{path}{rest}", domain, model_dir=Path("models"))
    network = entrant.load()
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
    return network


def note(path: Path, domain: Domain, rest: str) -> str:
    said = find(f"checkpoint:{path}{rest}", domain, model_dir=Path("models")).weights().note
    assert "\n" not in said
    return said


def refusal(act: Callable[[], object]) -> str:
    with pytest.raises(EntrantError) as error:
        act()
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.fixture
def thin() -> nn.Module:
    return randomised(ThinResNet(1, 10))


class Normalise(nn.Module):
    def __init__(self, names: tuple[str, str] = ("mean", "std"), shape: tuple[int, ...] = (1, 3, 1, 1)) -> None:
        super().__init__()
        self.names = names
        for name, values in zip(names, (MEAN, STD), strict=True):
            self.register_buffer(name, torch.tensor(values).view(shape))

    def forward(self, x: Tensor) -> Tensor:
        mean, std = (getattr(self, name).view(1, 3, 1, 1) for name in self.names)
        return (x - mean) / std


def normalised(x: Tensor) -> Tensor:
    return (x - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(STD).view(1, 3, 1, 1)


def prefixed(prefix: str, state: Mapping[str, Tensor]) -> State:
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


def renamed(state: Mapping[str, Tensor], *pairs: tuple[str, str]) -> State:
    def name_of(name: str) -> str:
        for old, new in pairs:
            name = name.replace(old, new)
        return name

    return {name_of(name): tensor for name, tensor in state.items()}


OTHER = {name: tensor + 1 for name, tensor in ThinResNet(1, 10).state_dict().items()}
METRICS = {"val_acc.correct": torch.tensor(3), "val_acc.total": torch.tensor(5.0)}

WRAPPED: dict[str, tuple[Callable[[State], Any], str]] = {
    "bare": (lambda s: s, ""),
    "ema_state_dict alone": (
        lambda s: {"ema_state_dict": s, "epoch": 3},
        "tensors of 'ema_state_dict', averaged weights",
    ),
    "model_ema beside the model": (
        lambda s: {"model": OTHER, "model_ema": prefixed("module.", s), "args": {"lr": 0.1}},
        "tensors of 'model_ema.module', averaged weights; there is also 'model' (take it with @take=model)",
    ),
    "AveragedModel's counter": (
        lambda s: {"n_averaged": torch.tensor(9), **prefixed("module.", s)},
        "tensors of 'module'",
    ),
    "params": (lambda s: {"params": s}, "tensors of 'params'"),
    "weights, deep": (lambda s: {"run": {"best": {"weights": s}}}, "tensors of 'run.best.weights'"),
    "a pair of state dict and epoch": (lambda s: (s, 3), "tensors of '0'"),
    "net.": (lambda s: {"net": prefixed("net.", s)}, "tensors of 'net.net'"),
    "backbone.": (lambda s: {"state_dict": prefixed("module.backbone.", s)}, "tensors of 'state_dict.module.backbone'"),
    "any other prefix": (lambda s: prefixed("f_theta.inner.", s), "tensors of 'f_theta.inner'"),
    "torch.compile": (lambda s: prefixed("_orig_mod.", s), ""),
    "a compiled stage within": (lambda s: renamed(s, ("layer2.", "layer2._orig_mod.")), ""),
    "a parallel stage within": (lambda s: renamed(s, ("layer2.", "layer2.module.")), ""),
    "Lightning": (
        lambda s: {
            "epoch": 1,
            "pytorch-lightning_version": "2.4.0",
            "callbacks": {"ModelCheckpoint": {"best": torch.tensor(0.5)}},
            "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(3)}}}],
            "state_dict": {**prefixed("net.", s), **METRICS},
        },
        "tensors of 'state_dict.net'; left out 2 tensors (val_acc)",
    ),
    "ema_pytorch's two models": (
        lambda s: {"initted": torch.tensor(True), **prefixed("online_model.", OTHER), **prefixed("ema_model.", s)},
        "tensors of 'ema_model', averaged weights; there is also 'online_model' (take it with @take=online_model)",
    ),
    "an optimiser that keeps moments by name": (
        lambda s: {"model": s, "optimizer": {"exp_avg": OTHER, "state": {0: torch.zeros(3)}}},
        "tensors of 'model'",
    ),
    "old batch norms without counters": (lambda s: {k: v for k, v in s.items() if "num_batches" not in k}, ""),
    "Sequential(normalise, net)": (
        lambda s: {
            "0.mean": torch.tensor(MEAN).view(1, 3, 1, 1),
            "0.std": torch.tensor(STD).view(1, 3, 1, 1),
            **prefixed("1.", s),
        },
        "tensors of '1'; images normalised by mean=0.4914,0.4822,0.4465, std=0.2471,0.2435,0.2616",
    ),
    "mu and sigma beside the layers": (
        lambda s: {"state_dict": {"mu": torch.tensor(MEAN), "sigma": torch.tensor(STD), **s}},
        "tensors of 'state_dict'; images normalised by mean=0.4914,0.4822,0.4465, std=0.2471,0.2435,0.2616",
    ),
    "the robustness library, twice the network": (
        lambda s: {
            "model": {
                "module.normalizer.new_mean": torch.tensor(MEAN).view(3, 1, 1),
                "module.normalizer.new_std": torch.tensor(STD).view(3, 1, 1),
                **prefixed("module.model.", s),
                "module.attacker.normalize.new_mean": torch.tensor(MEAN).view(3, 1, 1),
                "module.attacker.normalize.new_std": torch.tensor(STD).view(3, 1, 1),
                **prefixed("module.attacker.model.", s),
            }
        },
        "tensors of 'model.module.model'",
    ),
    "fc for linear": (
        lambda s: renamed(s, ("linear.", "fc.")),
        "2 names matched by order and shape (fc -> linear): check that its accuracy is the one you know",
    ),
    "other names throughout": (
        lambda s: prefixed(
            "encoder.",
            renamed(s, ("layer", "stages."), ("conv", "convolution_"), ("bn", "norm"), ("linear.", "head.fc.")),
        ),
        "tensors of 'encoder'; 37 names matched by order and shape",
    ),
}


@pytest.mark.parametrize("layout", WRAPPED)
def test_the_network_is_found_in_a_layout(tmp_path: Path, cifar10: Domain, thin: nn.Module, layout: str) -> None:
    wrap, told = WRAPPED[layout]
    path = tmp_path / "mine.pt"
    torch.save(wrap(thin.state_dict()), path)
    inside = "mean" in told or "robustness" in layout
    expected = logits(nn.Sequential(Normalise(), thin) if inside else thin)
    assert torch.equal(logits(loaded(path, cifar10, "@resnet-8")), expected)
    said = note(path, cifar10, "@resnet-8")
    assert said.startswith(told) if told else said in ("", "tensors of '_orig_mod'")


# what is ambiguous, and what would be another function, is refused


def test_raw_and_averaged_weights_are_both_there_to_take_and_are_kept_apart(
    tmp_path: Path, cifar10: Domain, thin: nn.Module
) -> None:
    other = randomised(ThinResNet(1, 10), seed=7)
    path = tmp_path / "mine.pt"
    torch.save({"state_dict": other.state_dict(), "ema_state_dict": thin.state_dict()}, path)
    spec = "@resnet-8@take=state_dict"
    assert torch.equal(logits(loaded(path, cifar10, spec)), logits(other))
    assert torch.equal(logits(loaded(path, cifar10, "@resnet-8@take=ema_state_dict")), logits(thin))
    keys = {
        rest: find(f"checkpoint:{path}@resnet-8{rest}", cifar10, model_dir=tmp_path).weights().sha256
        for rest in ("", "@take=state_dict", "@take=ema_state_dict")
    }
    assert keys[""] == keys["@take=ema_state_dict"] != keys["@take=state_dict"]
    assert find(f"checkpoint:{path}{spec}", cifar10, model_dir=tmp_path).spec == f"checkpoint:{path}{spec}"
    said = refusal(lambda: loaded(path, cifar10, "@resnet-8@take=swa"))
    assert said == (
        f"expected tensors of resnet-8 in 'swa' of {path}, got them in 'state_dict' and 'ema_state_dict';"
        f" write checkpoint:{path}@resnet-8@take=state_dict"
    )


def test_two_networks_of_which_neither_is_customary_are_a_question(
    tmp_path: Path, cifar10: Domain, thin: nn.Module
) -> None:
    path = tmp_path / "mine.pt"
    torch.save({"last": OTHER, "best": thin.state_dict()}, path)
    said = refusal(lambda: loaded(path, cifar10, "@resnet-8"))
    assert said == (
        f"expected one network of resnet-8 in {path}, got 2: 'last', 'best'; choose one, such as"
        f" checkpoint:{path}@resnet-8@take=last"
    )
    assert torch.equal(logits(loaded(path, cifar10, "@resnet-8@take=best")), logits(thin))


def test_the_same_network_under_two_names_is_one(tmp_path: Path, cifar10: Domain, thin: nn.Module) -> None:
    torch.save({"last": thin.state_dict(), "best": thin.state_dict()}, tmp_path / "mine.pt")
    assert torch.equal(logits(loaded(tmp_path / "mine.pt", cifar10, "@resnet-8")), logits(thin))


def test_layers_beside_the_network_may_belong_to_it_and_are_a_question(
    tmp_path: Path, cifar10: Domain, thin: nn.Module
) -> None:
    path = tmp_path / "mine.pt"
    torch.save({"denoiser.0.weight": torch.zeros(3, 3, 3, 3), **prefixed("classifier.", thin.state_dict())}, path)
    said = refusal(lambda: loaded(path, cifar10, "@resnet-8"))
    assert said.startswith(
        f"expected the tensors of resnet-8 alone in {path}, got 1 tensor beside them that may belong"
    )
    assert said.endswith(f"(denoiser.0.weight); where they do not, write checkpoint:{path}@resnet-8@take=classifier")
    assert torch.equal(logits(loaded(path, cifar10, "@resnet-8@take=classifier")), logits(thin))


@pytest.mark.parametrize("take", ["", "@take=model"])
def test_one_tensor_more_in_the_network_is_another_network(
    tmp_path: Path, cifar10: Domain, thin: nn.Module, take: str
) -> None:
    more = {**thin.state_dict(), "bn_last.weight": torch.ones(64)}
    torch.save({"model": prefixed("net.", more)}, tmp_path / "mine.pt")
    assert 'unexpected "bn_last.weight" (1 key)' in refusal(
        lambda: loaded(tmp_path / "mine.pt", cifar10, f"@resnet-8{take}")
    )


class PreActivated(nn.Module):
    """The layers of the thin ResNet in the same order with the same shapes, and another function: norms come first."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        widths = ((16, 16), (16, 32), (32, 64))
        self.stages = nn.ModuleList(
            nn.ModuleDict(
                {
                    "norm_a": nn.BatchNorm2d(a), "conv_a": nn.Conv2d(a, b, 3, padding=1, bias=False),
                    "norm_b": nn.BatchNorm2d(b), "conv_b": nn.Conv2d(b, b, 3, padding=1, bias=False),
                }
            )
            for a, b in widths
        )  # fmt: skip
        self.last = nn.BatchNorm2d(64)
        self.head = nn.Linear(64, 10)


def test_the_same_shapes_in_other_blocks_are_another_network(tmp_path: Path, cifar10: Domain, thin: nn.Module) -> None:
    other = PreActivated().state_dict()
    shapes = [tuple(tensor.shape) for tensor in other.values()]
    assert shapes == [tuple(tensor.shape) for tensor in thin.state_dict().values()]
    torch.save(other, tmp_path / "mine.pt")
    assert "expected the tensors of resnet-8" in refusal(lambda: loaded(tmp_path / "mine.pt", cifar10, "@resnet-8"))


def test_names_that_both_have_are_not_given_to_other_layers(tmp_path: Path, cifar10: Domain, thin: nn.Module) -> None:
    swapped = renamed(thin.state_dict(), ("conv1", "conv9"), ("conv2", "conv1"), ("conv9", "conv2"), ("linear", "fc"))
    torch.save(swapped, tmp_path / "mine.pt")
    assert "expected the tensors of resnet-8" in refusal(lambda: loaded(tmp_path / "mine.pt", cifar10, "@resnet-8"))


# implementations of one network


SMALL = """
from torch import nn
from torch.nn import functional as F
from zoo.architectures.resnet import stage

class Net(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(4)
        self.layer1 = stage(4, 4, 1, stride=1)
        self.layer2 = stage(4, 8, 2, stride=2)
        self.linear = nn.Linear(8, classes)

    def forward(self, x):
        x = self.layer2(self.layer1(F.relu(self.bn1(self.conv1(x)))))
        return self.linear(x.mean(dim=(2, 3)))

def net(classes):
    return Net(classes)
"""


class TorchvisionSmall(nn.Module):
    """The same network in torchvision's words and blocks."""

    def __init__(self) -> None:
        super().__init__()
        from torchvision.models.resnet import BasicBlock

        def down(a: int, b: int) -> nn.Sequential:
            return nn.Sequential(nn.Conv2d(a, b, 1, stride=2, bias=False), nn.BatchNorm2d(b))

        self.conv1, self.bn1 = nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.layer1 = nn.Sequential(BasicBlock(4, 4))
        self.layer2 = nn.Sequential(BasicBlock(4, 8, stride=2, downsample=down(4, 8)), BasicBlock(8, 8))
        self.fc = nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.layer2(self.layer1(F.relu(self.bn1(self.conv1(x))))).mean(dim=(2, 3)))


def test_torchvisions_names_are_matched_to_those_of_a_network_of_ones_own(
    tmp_path: Path, cifar10: Domain, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "layout_nets.py").write_text(SMALL)
    monkeypatch.chdir(tmp_path)
    source = randomised(TorchvisionSmall())
    torch.save({"state_dict": prefixed("module.", source.state_dict())}, tmp_path / "mine.pt")
    spec = "@layout_nets:net"
    torch.testing.assert_close(
        logits(loaded(tmp_path / "mine.pt", cifar10, spec)), logits(source), rtol=1e-6, atol=1e-6
    )
    assert note(tmp_path / "mine.pt", cifar10, spec) == (
        "tensors of 'state_dict.module'; 7 names matched by order and shape (downsample -> shortcut, fc -> linear): check that"
        " its accuracy is the one you know"
    )


def test_layers_of_which_no_two_are_alike_are_matched_in_any_order(
    tmp_path: Path, digits: Domain, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "layout_mlp.py").write_text(
        "from torch import nn\ndef net(classes):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, 7), nn.ReLU(), nn.Linear(7, classes))\n"
    )
    monkeypatch.chdir(tmp_path)
    a, b = nn.Linear(64, 7), nn.Linear(7, 10)
    torch.save({**prefixed("out.", b.state_dict()), **prefixed("hidden.", a.state_dict())}, tmp_path / "mine.pt")
    got = logits(loaded(tmp_path / "mine.pt", digits, "@layout_mlp:net"), (1, 8, 8))
    torch.testing.assert_close(got, b(F.relu(a(images((1, 8, 8)).flatten(1)))))


# libraries


def test_a_torchvision_network_by_its_name(tmp_path: Path, cifar10: Domain) -> None:
    from torchvision.models import squeezenet1_1

    source = randomised(squeezenet1_1(weights=None, num_classes=10))
    torch.save({"model": source.state_dict()}, tmp_path / "mine.pt")
    got = loaded(tmp_path / "mine.pt", cifar10, "@torchvision:squeezenet1_1")
    assert torch.equal(logits(got), logits(source))
    said = refusal(lambda: loaded(tmp_path / "mine.pt", cifar10, "@torchvision:squeezenet1_2"))
    assert "did you mean squeezenet1_1" in said


@pytest.mark.parametrize(("name", "normalises"), [("resnet10t", False), ("resnet10t.c3_in1k", True)])
def test_a_timm_network_by_its_name_and_its_normalisation_by_its_tag(
    tmp_path: Path, cifar10: Domain, name: str, normalises: bool
) -> None:
    timm = pytest.importorskip("timm")
    source = randomised(timm.create_model("resnet10t", num_classes=10))
    torch.save({"state_dict_ema": source.state_dict(), "arch": "resnet10t"}, tmp_path / "mine.pt")
    mean, std = (
        torch.tensor(timm.get_pretrained_cfg("resnet10t.c3_in1k").to_dict()[k]).view(3, 1, 1) for k in ("mean", "std")
    )
    expected = source((images((3, 32, 32)) - mean) / std) if normalises else logits(source)
    got = loaded(tmp_path / "mine.pt", cifar10, f"@timm:{name}")
    torch.testing.assert_close(logits(got), expected.detach())
    said = note(tmp_path / "mine.pt", cifar10, f"@timm:{name}")
    assert ("images normalised by mean=" in said) == normalises


# Hugging Face, TorchScript, normalisation


@pytest.fixture
def timm_folder(tmp_path: Path) -> tuple[Path, nn.Module]:
    timm = pytest.importorskip("timm")
    source = randomised(timm.create_model("resnet10t", num_classes=10, stem_width=8))
    folder = tmp_path / "hub"
    folder.mkdir()
    config = {
        "architecture": "resnet10t", "num_classes": 10, "model_args": {"stem_width": 8},
        "pretrained_cfg": {"mean": MEAN, "std": STD, "input_size": [3, 32, 32]},
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    safetensors.torch.save_file(source.state_dict(), folder / "model.safetensors")
    return folder, source


def test_a_folder_of_the_hub_says_its_network_and_its_normalisation(
    timm_folder: tuple[Path, nn.Module], cifar10: Domain
) -> None:
    folder, source = timm_folder
    got = loaded(folder, cifar10, "")
    torch.testing.assert_close(logits(got), logits(nn.Sequential(Normalise(), source)))
    entrant = CheckpointEntrant(folder, cifar10)
    assert (entrant.card.name, entrant.card.architecture) == ("hub", "timm:resnet10t")
    weights = entrant.weights()
    assert [file.name for file in weights.files] == ["model.safetensors", "config.json"]
    config = json.loads((folder / "config.json").read_text())
    config["pretrained_cfg"]["mean"] = [0.5, 0.5, 0.5]
    (folder / "config.json").write_text(json.dumps(config))
    assert entrant.weights().sha256 != weights.sha256


def test_a_folder_of_transformers_says_its_network_and_its_preprocessing(tmp_path: Path, cifar10: Domain) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.ResNetConfig(
        embedding_size=4, hidden_sizes=[4, 8], depths=[1, 1], layer_type="basic", num_labels=10
    )
    source = randomised(transformers.ResNetForImageClassification(config))
    source.save_pretrained(tmp_path / "hub")
    (tmp_path / "hub" / "preprocessor_config.json").write_text(json.dumps({"image_mean": MEAN, "image_std": STD}))
    with torch.no_grad():
        expected = source(normalised(images((3, 32, 32)))).logits
    torch.testing.assert_close(logits(loaded(tmp_path / "hub", cifar10, "")), expected)


def test_a_folder_without_a_configuration_is_one_line(tmp_path: Path, cifar10: Domain, thin: nn.Module) -> None:
    safetensors.torch.save_file(thin.state_dict(), tmp_path / "model.safetensors")
    said = refusal(lambda: loaded(tmp_path, cifar10, ""))
    assert said.startswith(f"expected config.json and model.safetensors in the folder {tmp_path}, got no config.json")
    (tmp_path / "config.json").write_text('{"hidden": 3}')
    assert "expected 'architecture' (timm) or 'architectures' (transformers)" in refusal(
        lambda: loaded(tmp_path, cifar10, "")
    )


def test_torchscript_is_a_program_and_runs_when_its_author_is_trusted(
    tmp_path: Path, cifar10: Domain, thin: nn.Module
) -> None:
    path = tmp_path / "mine.pt"
    with warnings.catch_warnings(action="ignore"):  # of TorchScript's age
        torch.jit.save(torch.jit.trace(thin, images((3, 32, 32))), path)
    assert refusal(lambda: loaded(path, cifar10, "")) == (
        f"expected plain tensors in {path}, got a TorchScript archive, which is a program;"
        " pass --allow-pickle mine only if you trust its author"
    )
    entrant = find(f"checkpoint:{path}{SAID}", cifar10, model_dir=tmp_path, allow_pickle=["mine"])
    assert (entrant.card.architecture, entrant.spec) == ("torchscript", f"checkpoint:{path}{SAID}")
    network = entrant.load()
    torch.testing.assert_close(logits(network), logits(nn.Sequential(Normalise(), thin)))
    x = images((3, 32, 32)).requires_grad_()
    assert torch.autograd.grad(network(x).sum(), x)[0].abs().sum() > 0
    by_name = find(f"checkpoint:{path}@resnet-8", cifar10, model_dir=tmp_path, allow_pickle=["mine"])
    torch.testing.assert_close(logits(by_name.load()), logits(thin))


def test_normalisation_is_stated_in_the_spec(tmp_path: Path, cifar10: Domain, thin: nn.Module) -> None:
    path = tmp_path / "mine.pt"
    torch.save(thin.state_dict(), path)
    assert torch.equal(logits(loaded(path, cifar10, f"@resnet-8{SAID}")), logits(nn.Sequential(Normalise(), thin)))
    half = nn.Sequential(Normalise(), thin)
    half[0].mean.fill_(0.5)
    half[0].std.fill_(0.5)
    assert torch.equal(logits(loaded(path, cifar10, "@resnet-8@mean=0.5@std=0.5")), logits(half))
    specs = ("@resnet-8", f"@resnet-8{SAID}", "@resnet-8@mean=0.5@std=0.5")
    found = [find(f"checkpoint:{path}{rest}", cifar10, model_dir=tmp_path) for rest in specs]
    assert len({entrant.weights().sha256 for entrant in found}) == 3
    assert [entrant.spec for entrant in found] == [f"checkpoint:{path}{rest}" for rest in specs]


@pytest.mark.parametrize(
    ("rest", "expected"),
    [
        ("@mean=125.3,123.0,113.9@std=63.0,62.1,66.7", "divide those of 0..255 by 255"),
        ("@mean=0.5,0.5@std=0.5", "expected 1 or 3 numbers for mean"),
        ("@std=0", "expected a std above 0"),
        ("@mean=half", "expected numbers for mean, got 'half'"),
        ("@mean=nan", "expected finite numbers"),
        ("@meen=0.5", "got 'meen'; did you mean mean?"),
        ("@mean=0.5@mean=0.4", "expected mean once"),
        ("@take=", "expected where the tensors lie after take="),
    ],
)
def test_a_normalisation_that_cannot_be_is_one_line(
    tmp_path: Path, cifar10: Domain, thin: nn.Module, rest: str, expected: str
) -> None:
    torch.save(thin.state_dict(), tmp_path / "mine.pt")
    assert expected in refusal(lambda: loaded(tmp_path / "mine.pt", cifar10, f"@resnet-8{rest}"))


def test_a_normalisation_that_is_stated_otherwise_than_the_file_has_it_is_refused(
    tmp_path: Path, cifar10: Domain, thin: nn.Module
) -> None:
    held = {"mu": torch.tensor(MEAN), "sigma": torch.tensor(STD), **thin.state_dict()}
    torch.save(held, tmp_path / "mine.pt")
    assert torch.equal(
        logits(loaded(tmp_path / "mine.pt", cifar10, f"@resnet-8{SAID}")), logits(nn.Sequential(Normalise(), thin))
    )
    said = refusal(lambda: loaded(tmp_path / "mine.pt", cifar10, "@resnet-8@mean=0.5@std=0.5"))
    assert "leave them out, or correct them" in said
    torch.save({"sigma": torch.tensor(STD), **thin.state_dict()}, tmp_path / "mine.pt")
    assert "expected one mean and one std in" in refusal(lambda: loaded(tmp_path / "mine.pt", cifar10, "@resnet-8"))


# what would fit


def test_another_architecture_that_fits_is_named_with_what_to_type(
    tmp_path: Path, cifar10: Domain, thin: nn.Module
) -> None:
    path = tmp_path / "mine.pt"
    torch.save({"net": prefixed("net.", renamed(thin.state_dict(), ("linear.", "fc.")))}, path)
    for rest in ("@resnet-20", ""):
        said = refusal(lambda rest=rest: loaded(path, cifar10, rest))
        assert said.endswith(f"its tensors have the order and shapes of resnet-8: write checkpoint:{path}@resnet-8")
    torch.save(ThinResNet(1, 100).state_dict(), path)
    said = refusal(lambda: loaded(path, cifar10, "@resnet-8"))
    assert "shape [100, 64] where [10, 64] is needed" in said
    assert said.endswith("name its architecture: " + said.rpartition("name its architecture: ")[2])
