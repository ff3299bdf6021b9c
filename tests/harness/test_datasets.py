"""Where images come from, in which order, and what is refused."""

from __future__ import annotations

import hashlib
import io
import pickle
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
from PIL import Image
from sklearn.datasets import load_digits

from harness.data import datasets
from harness.data.images import ImageSet
from harness.errors import BadInput
from harness.suites.suite import SUITES

CIFAR10 = (3, 32, 32)


def folder(root: Path, split: str, *, classes: int = 3, each: int = 4, suffix: str = "png", size: int = 32) -> None:
    generator = np.random.default_rng(0)
    for k in range(classes):
        place = root / split / f"class-{k}"
        place.mkdir(parents=True)
        for i in range(each):
            pixels = generator.integers(0, 256, (size, size, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(place / f"{i:04d}.{suffix}")


def test_the_digits_splits_are_disjoint_complete_and_fixed() -> None:
    train, test = datasets.digits("train"), datasets.digits("test")
    assert (len(train), len(test)) == (1397, 400)
    ours = sorted(map(bytes, torch.cat((train.images, test.images)).mul(16).byte().flatten(1).numpy()))
    theirs = sorted(map(bytes, load_digits().images.astype(np.uint8).reshape(-1, 64)))
    assert ours == theirs
    assert not {bytes(x) for x in train.images.numpy()} & {bytes(x) for x in test.images.numpy()}
    # pinned: a change of the split changes every figure on it, and bumps the suite's version
    assert test.first(200).fingerprint == "7687c3a5c1e711e492f5302969788f230563947116758079c4c49dd77101ec30"


def test_an_image_folder_gives_every_picture_once_mixed_and_in_class_order(tmp_path: Path) -> None:
    folder(tmp_path / "mine", "test")
    images = datasets.load("mine", "test", data_dir=tmp_path, shape=CIFAR10, classes=10)
    assert images.classes == ("class-0", "class-1", "class-2")
    assert images.labels.bincount().tolist() == [4, 4, 4]
    assert images.labels.tolist() != sorted(images.labels.tolist())
    expected = {
        (hashlib.sha256(np.asarray(Image.open(path)).tobytes()).hexdigest(), int(path.parent.name[-1]))
        for path in (tmp_path / "mine" / "test").rglob("*.png")
    }
    pixels = images.images.permute(0, 2, 3, 1).contiguous().numpy()
    assert {
        (hashlib.sha256(x.tobytes()).hexdigest(), y) for x, y in zip(pixels, images.labels.tolist(), strict=True)
    } == expected


def test_the_first_pictures_of_a_folder_are_of_all_classes(tmp_path: Path) -> None:
    folder(tmp_path / "mine", "test", classes=2, each=20)
    images = datasets.load("mine", "test", data_dir=tmp_path, shape=CIFAR10, classes=2)
    assert min(images.first(10).labels.bincount(minlength=2).tolist()) >= 3
    names = [f"class-{k}/{i:04d}.png" for k in range(2) for i in range(20)]
    names.sort(key=lambda name: hashlib.sha256(name.encode()).digest())
    assert images.labels.tolist() == [int(name[6]) for name in names]


def test_the_fingerprint_sees_pixels_labels_and_order(tmp_path: Path) -> None:
    folder(tmp_path / "mine", "test")
    first = datasets.load("mine", "test", data_dir=tmp_path, shape=CIFAR10, classes=10)
    again = datasets.load("mine", "test", data_dir=tmp_path, shape=CIFAR10, classes=10)
    assert first.fingerprint == again.fingerprint
    seen = {first.fingerprint, first.first(5).fingerprint}
    pixels = first.images.clone()
    pixels[0, 0, 0, 0] ^= 1
    for images, labels in (
        (pixels, first.labels),
        (first.images, first.labels.roll(1)),
        (first.images.flip(0), first.labels.flip(0)),
    ):
        seen.add(ImageSet("mine", "test", images, labels, first.classes, "").fingerprint)
    assert len(seen) == 5


def test_jpeg_copies_of_cifar10_never_pass_for_cifar10(tmp_path: Path) -> None:
    folder(tmp_path / "cifar10", "test", classes=10, each=1, suffix="jpg")
    images = datasets.load("cifar10", "test", data_dir=tmp_path, shape=CIFAR10, classes=10)
    assert images.name == "cifar10-jpeg"
    suite = SUITES["cifar10"].on(images.name)
    assert (suite.name, suite.dataset, suite.domain.dataset) == ("cifar10-jpeg", "cifar10-jpeg", "cifar10")
    assert "not comparable" in suite.description


def test_png_copies_of_cifar10_are_cifar10(tmp_path: Path) -> None:
    folder(tmp_path / "cifar10", "test", classes=10, each=1)
    assert datasets.load("cifar10", "test", data_dir=tmp_path, shape=CIFAR10, classes=10).name == "cifar10"


def test_examples_are_floats_in_the_unit_range_and_equal_totensor(tmp_path: Path) -> None:
    from torchvision.transforms.functional import to_tensor

    folder(tmp_path / "mine", "test", classes=1, each=1)
    images = datasets.load("mine", "test", data_dir=tmp_path, shape=CIFAR10, classes=10)
    picture = Image.open(next((tmp_path / "mine").rglob("*.png")))
    assert torch.equal(images.examples(0, 1).x[0], to_tensor(picture))


def test_torchvisions_cifar10_files_are_read_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torchvision.datasets as tv

    generator = np.random.default_rng(1)
    root = tmp_path / "cifar-10-batches-py"
    root.mkdir()
    data = generator.integers(0, 256, (10, 3072), dtype=np.uint8)
    batches = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    for name in batches:
        (root / name).write_bytes(pickle.dumps({"data": data, "labels": list(range(10))}))
    (root / "batches.meta").write_bytes(pickle.dumps({"label_names": [f"name-{k}" for k in range(10)]}))

    def digest(name: str) -> str:
        return hashlib.md5((root / name).read_bytes()).hexdigest()

    monkeypatch.setattr(tv.CIFAR10, "train_list", [[name, digest(name)] for name in batches[:5]])
    monkeypatch.setattr(tv.CIFAR10, "test_list", [["test_batch", digest("test_batch")]])
    monkeypatch.setattr(tv.CIFAR10, "meta", {**tv.CIFAR10.meta, "md5": digest("batches.meta")})
    images = datasets.load("cifar10", "test", data_dir=tmp_path, shape=CIFAR10, classes=10)
    assert images.labels.tolist() == list(range(10))
    assert torch.equal(images.images, torch.from_numpy(data).view(10, 3, 32, 32))
    assert len(datasets.load("cifar10", "train", data_dir=tmp_path, shape=CIFAR10, classes=10)) == 50


def test_tiny_imagenets_own_layout_is_read(tmp_path: Path) -> None:
    root = tmp_path / "tiny-imagenet-200"
    for k in ("n01", "n02"):
        (root / "train" / k / "images").mkdir(parents=True)
        Image.new("RGB", (64, 64), (200, 0, 0)).save(root / "train" / k / "images" / f"{k}_0.JPEG")
    (root / "val" / "images").mkdir(parents=True)
    lines = []
    for i, k in enumerate(("n02", "n01", "n02")):
        Image.new("L", (64, 64), 40 * i).save(root / "val" / "images" / f"val_{i}.JPEG")
        lines.append(f"val_{i}.JPEG\t{k}\t0\t0\t62\t62")
    (root / "val" / "val_annotations.txt").write_text("\n".join(lines) + "\n")
    test = datasets.load("tiny-imagenet", "test", data_dir=tmp_path, shape=(3, 64, 64), classes=200)
    by_grey = dict(zip((test.images[:, 0, 0, 0]).tolist(), test.labels.tolist(), strict=True))
    assert by_grey == {0: 1, 40: 0, 80: 1}
    assert len(datasets.load("tiny-imagenet", "train", data_dir=tmp_path, shape=(3, 64, 64), classes=200)) == 2


def test_imagenet_is_judged_on_robustbenchs_images_in_its_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision.transforms import CenterCrop, Compose, Resize, ToTensor

    ids = datasets._robustbench_imagenet_ids()
    assert (len(ids), ids[0]) == (5000, "n09468604/ILSVRC2012_val_00015253.JPEG")
    few = ["n02/b.JPEG", "n01/a.JPEG", "n02/c.JPEG"]
    monkeypatch.setattr(datasets, "_robustbench_imagenet_ids", lambda: few)
    generator = np.random.default_rng(0)
    for name in (*few, "n01/not-judged.JPEG"):
        path = tmp_path / "imagenet" / "val" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (300, 280, 3), dtype=np.uint8)).save(path)
    images = datasets.load("imagenet", "test", data_dir=tmp_path, shape=(3, 224, 224), classes=2)
    transform = Compose([Resize(256), CenterCrop(224), ToTensor()])
    expected = torch.stack([transform(Image.open(tmp_path / "imagenet" / "val" / name)) for name in few])
    assert torch.equal(images.examples(0, 3).x, expected)
    assert images.labels.tolist() == [1, 0, 1]
    larger = datasets.load(
        "imagenet",
        "test",
        data_dir=tmp_path,
        shape=(3, 224, 224),
        classes=2,
        transform=Compose([CenterCrop(256), ToTensor()]),
    )
    assert larger.shape == (3, 256, 256)
    assert larger.fingerprint == images.fingerprint, (
        "an entrant's own transform does not change which pictures are judged"
    )
    assert larger.first(2).fingerprint == images.first(2).fingerprint != images.fingerprint


def test_mnist_files_are_read(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 256, (4, 28, 28), dtype=np.uint8)
    y = np.array([7, 2, 1, 0], np.uint8)
    raw = tmp_path / "mnist" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name, array in (("t10k-images-idx3-ubyte", x), ("t10k-labels-idx1-ubyte", y)):
        # the idx format: two zeros, a type (8: uint8), the number of dimensions, and each of them
        head = bytes([0, 0, 8, array.ndim]) + b"".join(side.to_bytes(4, "big") for side in array.shape)
        (raw / name).write_bytes(head + array.tobytes())
    for name in ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"):
        (raw / name).write_bytes(b"")  # torchvision looks for all four
    images = datasets.load("mnist", "test", data_dir=tmp_path, shape=(1, 28, 28), classes=10)
    assert images.labels.tolist() == [7, 2, 1, 0]
    assert torch.equal(images.images, torch.from_numpy(x)[:, None])


def test_svhn_files_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torchvision.datasets as tv

    x = np.random.default_rng(0).integers(0, 256, (32, 32, 3, 4), dtype=np.uint8)
    path = tmp_path / "test_32x32.mat"
    scipy.io.savemat(path, {"X": x, "y": np.array([[10], [1], [2], [3]])})
    digest = hashlib.md5(path.read_bytes()).hexdigest()
    monkeypatch.setattr(tv.SVHN, "split_list", {"test": ["", "test_32x32.mat", digest]})
    images = datasets.load("svhn", "test", data_dir=tmp_path, shape=CIFAR10, classes=10)
    assert images.labels.tolist() == [0, 1, 2, 3]  # the digit 0 is labelled 10 in the files
    assert torch.equal(images.images[1], torch.from_numpy(x[..., 1]).permute(2, 0, 1))


def npz(root: Path, **arrays: np.ndarray) -> Path:
    (root / "mine").mkdir(exist_ok=True)
    np.savez(root / "mine" / "test.npz", **arrays)  # type: ignore[arg-type]
    return root


def test_an_npz_of_floats_in_the_unit_range_is_read(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).random((5, 4, 4, 1), dtype=np.float32)
    data_dir = npz(tmp_path, image=pixels, label=np.arange(5))
    images = datasets.load("mine", "test", data_dir=data_dir, shape=(1, 4, 4), classes=5)
    assert torch.equal(images.examples(0, 5).x, torch.from_numpy(pixels).permute(0, 3, 1, 2))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            {"image": np.full((2, 4, 4, 1), 255.0), "label": np.arange(2)},
            r"expected images in \[0,1\], got values from 255",
        ),
        ({"image": np.full((2, 4, 4, 1), np.nan), "label": np.arange(2)}, r"expected images in \[0,1\]"),
        ({"image": np.zeros((2, 4, 4, 1)), "label": np.array([0, -1])}, "expected labels from 0"),
        ({"image": np.zeros((2, 4, 4, 1)), "label": np.arange(3)}, "as many labels as images"),
        ({"image": np.full((2, 4, 4, 1), "x"), "label": np.arange(2)}, "of uint8 or floats"),
        ({"image": np.zeros((2, 4, 4, 1), complex), "label": np.arange(2)}, "of uint8 or floats"),
        ({"image": np.zeros((2, 16)), "label": np.arange(2)}, r"expected image \(N, H, W, C\)"),
        ({"images": np.zeros((2, 4, 4, 1)), "label": np.arange(2)}, "expected the arrays image and label"),
        ({"image": np.array([{}, {}], dtype=object), "label": np.arange(2)}, "expected an .npz of plain arrays"),
    ],
)
def test_a_wrong_npz_is_one_clear_line(tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        datasets.load("mine", "test", data_dir=npz(tmp_path, **arrays), shape=(1, 4, 4), classes=5)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 garbage", b"\x93NUMPY not quite"])
def test_a_broken_npz_is_one_clear_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "test.npz").write_bytes(content)
    with pytest.raises(BadInput, match=r"expected an \.npz of plain arrays"):
        datasets.load("mine", "test", data_dir=tmp_path, shape=(1, 4, 4), classes=5)


@pytest.mark.parametrize("kind", [">f8", ">f4", ">f2", "float16", "longdouble"])
def test_floats_of_other_forms_are_converted_where_they_stay_the_same(tmp_path: Path, kind: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 257, (5, 4, 4, 1)) / 256
    data_dir = npz(tmp_path, image=pixels.astype(kind), label=np.arange(5).astype(">i4"))
    images = datasets.load("mine", "test", data_dir=data_dir, shape=(1, 4, 4), classes=5)
    assert torch.equal(images.examples(0, 5).x, torch.from_numpy(pixels).permute(0, 3, 1, 2).float())
    assert images.labels.tolist() == [0, 1, 2, 3, 4]


def test_floats_that_no_type_of_torch_holds_are_one_line(tmp_path: Path) -> None:
    data_dir = npz(tmp_path, image=np.full((5, 4, 4, 1), np.longdouble(1) / 3), label=np.arange(5))
    with pytest.raises(BadInput, match=r"^expected image of uint8 or of floats that float64 can hold in \S+, got"):
        datasets.load("mine", "test", data_dir=data_dir, shape=(1, 4, 4), classes=5)


@pytest.mark.parametrize("shape", [(0, 4, 4, 1), (4, 0, 4, 1), (4, 4, 4, 0)])
def test_empty_arrays_are_one_line(tmp_path: Path, shape: tuple[int, ...]) -> None:
    data_dir = npz(tmp_path, image=np.zeros(shape), label=np.zeros(shape[0], int))
    with pytest.raises(BadInput, match="expected as many labels as images and at least one, got image"):
        datasets.load("mine", "test", data_dir=data_dir, shape=(1, 4, 4), classes=5)


def bomb(path: Path, shape: str, megabytes: int) -> Path:
    """An .npz of a few kilobytes whose image unpacks to so many megabytes."""
    described = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".ljust(117).encode() + b"\n"
    label = io.BytesIO()
    np.save(label, np.zeros(1, int))
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("label.npy", label.getvalue())
        with archive.open("image.npy", "w", force_zip64=True) as entry:
            entry.write(b"\x93NUMPY\x01\x00" + len(described).to_bytes(2, "little") + described)
            for _ in range(megabytes):
                entry.write(bytes(2**20))
    return path


@pytest.mark.parametrize(
    ("shape", "megabytes", "message"),
    [
        (f"({300 * 2**20}, 1, 1, 1)", 300, "of 1.4 MB that holds 314.6 MB"),
        (f"({16 * 2**20}, 1, 1, 1)", 16, "expected as many labels as images"),
        ("(1000000000000, 8, 8, 1)", 1, "another size of image than its shape"),
    ],
)
def test_an_npz_that_unpacks_to_what_is_large_is_not_unpacked(
    tmp_path: Path, shape: str, megabytes: int, message: str
) -> None:
    bomb(tmp_path / "mine" / "test.npz", shape, megabytes)
    tracemalloc.start()
    with pytest.raises(BadInput, match=message) as caught:
        datasets.load("mine", "test", data_dir=tmp_path, shape=(1, 8, 8), classes=5)
    assert tracemalloc.get_traced_memory()[1] < 2**23
    tracemalloc.stop()
    assert "\n" not in str(caught.value)


def test_a_picture_of_another_size_is_not_unpacked(tmp_path: Path) -> None:
    (tmp_path / "mine" / "test" / "a").mkdir(parents=True)
    Image.new("1", (9000, 9000)).save(tmp_path / "mine" / "test" / "a" / "0.png")
    tracemalloc.start()
    with pytest.raises(BadInput, match="expected pictures of 4x4 pixels, got 9000x9000"):
        datasets.load("mine", "test", data_dir=tmp_path, shape=(1, 4, 4), classes=1)
    assert tracemalloc.get_traced_memory()[1] < 2**23
    tracemalloc.stop()


def test_classes_named_by_numbers_are_in_the_order_of_the_numbers(tmp_path: Path) -> None:
    folder(tmp_path / "mine", "test", classes=12, each=1)
    for path in sorted((tmp_path / "mine" / "test").iterdir()):
        path.rename(path.with_name(path.name.removeprefix("class-")))
    images = datasets.load("mine", "test", data_dir=tmp_path, shape=CIFAR10, classes=12)
    assert images.classes == tuple(str(k) for k in range(12))


def test_a_class_without_pictures_is_named(tmp_path: Path) -> None:
    folder(tmp_path / "mine", "test", classes=2)
    (tmp_path / "mine" / "test" / "class-9").mkdir()
    with pytest.raises(BadInput, match="none of class-9"):
        datasets.load("mine", "test", data_dir=tmp_path, shape=CIFAR10, classes=3)


def test_examples_are_copies_that_nobody_else_sees() -> None:
    images = datasets.digits("test")
    before = images.fingerprint
    images.examples(0, 5).x.zero_()
    assert ImageSet("digits", "test", images.images, images.labels, images.classes, "").fingerprint == before


@pytest.mark.parametrize("name", ["cifar10", "svhn", "tiny-imagenet", "imagenet", "nowhere"])
def test_missing_data_says_where_it_looked_and_what_to_do(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput) as caught:
        datasets.load(name, "test", data_dir=tmp_path, shape=CIFAR10, classes=10)
    message = str(caught.value)
    assert str(tmp_path) in message
    assert name in message
    assert "put it there" in message
    assert "\n" not in message


def test_a_picture_of_another_size_or_no_picture_is_named(tmp_path: Path) -> None:
    folder(tmp_path / "mine", "test", classes=1, each=1, size=28)
    with pytest.raises(BadInput, match=r"expected pictures of 32x32 pixels, got 28x28"):
        datasets.load("mine", "test", data_dir=tmp_path, shape=CIFAR10, classes=10)
    next((tmp_path / "mine").rglob("*.png")).write_text("<html>")
    with pytest.raises(BadInput, match="expected a picture"):
        datasets.load("mine", "test", data_dir=tmp_path, shape=CIFAR10, classes=10)
