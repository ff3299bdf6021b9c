"""Own architectures give the logits of the public ones whose state dicts they load."""

from __future__ import annotations

import gzip
import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from zoo import EntrantError
from zoo.architectures import ARCHITECTURES, build
from zoo.robustbench import import_robustbench

CIFAR = (3, 32, 32)


def trained_like(model: nn.Module) -> nn.Module:
    """Every tensor random, the statistics of the normalisations too, as training would leave them."""
    generator = torch.Generator().manual_seed(0)
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point():
            noise = torch.rand(tensor.shape, generator=generator)
            tensor.add_(noise if name.endswith("running_var") else 0.02 * (noise - 0.5))
    return model.eval()


def robustbench_resnet_18() -> nn.Module:
    import_robustbench()
    from robustbench.model_zoo.architectures.resnet import ResNet18

    return ResNet18()


def robustbench_resnet_34() -> nn.Module:
    import_robustbench()
    from robustbench.model_zoo.architectures.resnet import ResNet34

    return ResNet34()


def pyautoattack_resnet_18() -> nn.Module:
    package = importlib.util.find_spec("pyautoattack")
    assert package is not None
    assert package.origin is not None
    # the folder is no package: the file is loaded by its path
    spec = importlib.util.spec_from_file_location(
        "pyautoattack_example", Path(package.origin).parent / "examples" / "resnet.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.ResNet18()


def robustbench_preact_resnet_18() -> nn.Module:
    import_robustbench()
    from robustbench.model_zoo.architectures.resnet import PreActBlockV2, PreActResNet

    return PreActResNet(PreActBlockV2, [2, 2, 2, 2], bn_before_fc=True)


def robustbench_wide_resnet(depth: int, width: int, sub_block1: bool) -> Callable[[], nn.Module]:
    def construct() -> nn.Module:
        import_robustbench()
        from robustbench.model_zoo.architectures.wide_resnet import WideResNet

        return WideResNet(depth=depth, widen_factor=width, sub_block1=sub_block1)

    return construct


@pytest.mark.parametrize(
    ("name", "construct"),
    [
        ("resnet-18", robustbench_resnet_18),
        ("resnet-18", pyautoattack_resnet_18),
        ("resnet-34", robustbench_resnet_34),
        ("preact-resnet-18", robustbench_preact_resnet_18),
        ("wrn-16-4", robustbench_wide_resnet(16, 4, sub_block1=False)),
        ("wrn-16-4", robustbench_wide_resnet(16, 4, sub_block1=True)),
        ("wrn-28-10", robustbench_wide_resnet(28, 10, sub_block1=True)),
        ("wrn-34-10", robustbench_wide_resnet(34, 10, sub_block1=True)),
    ],
)
def test_a_public_state_dict_loads_strictly_and_gives_the_same_logits(
    name: str, construct: Callable[[], nn.Module]
) -> None:
    public = trained_like(construct())
    state = public.state_dict()
    keys = list(state)
    ours = build(name, 10, CIFAR).eval()
    ours.load_state_dict(state, strict=True)
    assert list(state) == keys, "loading changed the caller's dict"
    images = torch.rand(2, *CIFAR, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected, logits = public(images), ours(images)
    assert 0.01 < float(expected.std()) < 100  # neither constant nor beyond what a tolerance of 1e-6 means
    torch.testing.assert_close(logits, expected, rtol=1e-6, atol=1e-6)


def test_only_the_unused_stage_of_a_wide_resnet_may_be_left_over() -> None:
    model = build("wrn-16-4", 10, CIFAR)
    state = {**model.state_dict(), "sub_block2.layer.0.bn1.weight": torch.ones(1)}
    with pytest.raises(RuntimeError, match="sub_block2"):
        model.load_state_dict(state, strict=True)
    state = model.state_dict()
    del state["block1.layer.0.conv1.weight"]
    with pytest.raises(RuntimeError, match="block1"):
        model.load_state_dict(state, strict=True)


def test_a_preact_resnet_of_another_function_with_almost_the_same_keys_is_refused() -> None:
    import_robustbench()
    from robustbench.model_zoo.architectures.resnet import PreActResNet18

    with pytest.raises(RuntimeError, match=r"Missing key\(s\) in state_dict: \"bn.weight\""):
        build("preact-resnet-18", 10, CIFAR).load_state_dict(PreActResNet18().state_dict(), strict=True)


@pytest.mark.parametrize("name", sorted(set(ARCHITECTURES) - {"wrn-28-10", "wrn-34-10"}))
@pytest.mark.parametrize(("classes", "shape"), [(10, (1, 8, 8)), (200, (3, 64, 64))])
def test_every_architecture_takes_small_grey_images_and_those_of_tiny_imagenet(
    name: str, classes: int, shape: tuple[int, int, int]
) -> None:
    if (name, shape[1]) == ("small-cnn", 8):
        with pytest.raises(EntrantError, match="at least 16x16 pixels for small-cnn, got 8x8; choose digits-cnn"):
            build(name, classes, shape)
        return
    model = build(name, classes, shape).eval()
    with torch.no_grad():
        assert model(torch.zeros(1, *shape)).shape == (1, classes)


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("resnet-8", 0.075),
        ("resnet-20", 0.27),
        ("resnet-18", 11.17),
        ("resnet-34", 21.28),
        ("preact-resnet-18", 11.17),
        ("wrn-16-4", 2.75),
        ("wrn-28-10", 36.48),
    ],
)
def test_architectures_have_their_published_sizes(name: str, millions: float) -> None:
    with torch.device("meta"):
        model = build(name, 10, CIFAR)
    assert sum(parameter.numel() for parameter in model.parameters()) / 1e6 == pytest.approx(millions, abs=0.01)


def test_the_small_cnn_has_the_layers_of_trades_network_for_mnist_by_their_names() -> None:
    model = build("small-cnn", 10, (1, 28, 28))
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items() if name.endswith("weight")}
    assert shapes == {
        "feature_extractor.conv1.weight": (32, 1, 3, 3),
        "feature_extractor.conv2.weight": (32, 32, 3, 3),
        "feature_extractor.conv3.weight": (64, 32, 3, 3),
        "feature_extractor.conv4.weight": (64, 64, 3, 3),
        "classifier.fc1.weight": (200, 1024),
        "classifier.fc2.weight": (200, 200),
        "classifier.fc3.weight": (10, 200),
    }
    assert sum(parameter.numel() for parameter in model.parameters()) == 312_202


def test_the_small_networks_are_those_of_their_descriptions() -> None:
    """Every layer again, from the state dict by hand."""
    torch.manual_seed(0)
    mnist, x = build("mnist-cnn", 10, (1, 28, 28)).eval(), torch.rand(3, 1, 28, 28)
    w = [tensor for _, tensor in sorted(mnist.state_dict().items(), key=lambda item: int(item[0].split(".")[0]))]
    weights = {tuple(t.shape): t for t in w if t.dim() > 1}
    assert list(weights) == [(16, 1, 5, 5), (32, 16, 4, 4), (64, 512), (10, 64)]
    (b1, b2, b3, b4) = [t for t in w if t.dim() == 1]
    (w1, w2, w3, w4) = weights.values()
    hidden = nn.functional.conv2d(x, w1, b1, stride=3).relu()
    assert hidden.shape == (3, 16, 8, 8)
    hidden = nn.functional.conv2d(hidden, w2, b2, stride=2, padding=1).relu().flatten(1)
    with torch.no_grad():
        torch.testing.assert_close(mnist(x), (hidden @ w3.T + b3).relu() @ w4.T + b4)
    assert sum(p.numel() for p in mnist.parameters()) == 42_122
    half = build("half-resnet-14", 10, CIFAR).eval()
    convolutions = [m for m in half.modules() if isinstance(m, nn.Conv2d) and m.kernel_size != (1, 1)]
    assert [m.out_channels for m in convolutions] == [48] * 5 + [96] * 4 + [192] * 4
    assert sum(p.numel() for p in half.parameters()) == 1_565_098
    shapes = []
    for stage in (half.bn1, half.layer1, half.layer2, half.layer3):
        stage.register_forward_hook(lambda module, given, found: shapes.append(tuple(found.shape[1:])))
    with torch.no_grad():
        half(torch.rand(1, *CIFAR))
    assert shapes == [(48, 16, 16), (48, 16, 16), (96, 8, 8), (192, 4, 4)]


@pytest.mark.slow
def test_trades_network_for_mnist_is_right_on_as_many_images_as_its_authors_say() -> None:
    shared = Path(__file__).resolve().parents[3] / "shared"
    weights, raw = shared / "models" / "trades-mnist-smallcnn.pt", shared / "data" / "mnist" / "MNIST" / "raw"
    if not weights.is_file() or not raw.is_dir():
        pytest.skip("the network and MNIST are not beside the checkout")
    model = build("small-cnn", 10, (1, 28, 28)).eval()
    model.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    pixels = gzip.decompress((raw / "t10k-images-idx3-ubyte.gz").read_bytes())[16:]
    labels = gzip.decompress((raw / "t10k-labels-idx1-ubyte.gz").read_bytes())[8:]
    x = torch.frombuffer(bytearray(pixels), dtype=torch.uint8).reshape(-1, 1, 28, 28).float() / 255
    y = torch.frombuffer(bytearray(labels), dtype=torch.uint8)
    with torch.no_grad():
        right = sum(int((model(x[k : k + 500]).argmax(1) == y[k : k + 500]).sum()) for k in range(0, len(y), 500))
    assert right == 9_948  # 99.48 %


def test_a_mistyped_architecture_is_one_line_with_the_nearest() -> None:
    with pytest.raises(EntrantError) as error:
        build("resnet18", 10, CIFAR)
    assert "did you mean resnet-18" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_depth_that_no_wide_resnet_has_is_refused() -> None:
    from zoo.architectures.wideresnet import WideResNet

    with pytest.raises(ValueError, match="expected a depth of 6 n"):
        WideResNet(30, 4, 10)
