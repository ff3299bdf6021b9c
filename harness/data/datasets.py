"""Where images and labels come from: scikit-learn's digits, torchvision's files, folders, .npz files, the user's code."""

from __future__ import annotations

import csv
import hashlib
import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from harness.data.images import ImageSet, Split
from harness.data.missing import missing
from harness.data.npz import npz_split
from harness.data.own_data import OwnData, is_own
from harness.data.parts import parts_here
from harness.data.place import require_parent
from harness.data.torchvision_files import LOSSLESS, torchvision_here, torchvision_split
from harness.errors import BadInput, one_line
from zoo.entrant import Transform
from zoo.robustbench import INSTALL

PICTURES = (".png", ".jpg", ".jpeg")


def _stack(pictures: Iterator[np.ndarray], labels: Sequence[int]) -> tuple[Tensor, Tensor]:
    """(H, W, C) uint8 pictures to (N, C, H, W), with their labels."""
    images = torch.from_numpy(np.stack(list(pictures))).permute(0, 3, 1, 2).contiguous()
    return images, torch.tensor(labels, dtype=torch.int64)


# ---------------------------------------------------------------- scikit-learn


def digits(split: Split) -> ImageSet:
    """scikit-learn's 8x8 digits (UCI, 1797 images) in a fixed order: the first 400 are the test split, the rest train."""
    from sklearn.datasets import load_digits

    data = load_digits()
    # by content, not by a random generator whose stream a library may change
    order = sorted(range(len(data.target)), key=lambda i: hashlib.sha256(data.images[i].tobytes()).digest())
    chosen = order[:400] if split == "test" else order[400:]
    return ImageSet(
        name="digits",
        split=split,
        images=torch.tensor(data.images[chosen] / 16, dtype=torch.float32).unsqueeze(1),
        labels=torch.tensor(data.target[chosen], dtype=torch.int64),
        classes=tuple(str(k) for k in range(10)),
        source="scikit-learn's load_digits",
    )


# ---------------------------------------------------------------- folders


def _picture(path: Path, size: tuple[int, int, int] | None) -> np.ndarray:
    """One file as (H, W, C) uint8, grey or RGB as the suite's channels say."""
    try:
        with Image.open(path) as image:
            if size is not None and image.size[::-1] != size[1:]:  # known before anything is unpacked
                raise BadInput(
                    f"expected pictures of {size[1]}x{size[2]} pixels, got {image.size[1]}x{image.size[0]} in {path};"
                    " resize them, or give the suite their size"
                )
            pixels = np.asarray(image.convert("L" if size is not None and size[0] == 1 else "RGB"))
    except BadInput:
        raise
    except Exception as error:  # Pillow's readers raise what they like of a damaged file
        raise BadInput(f"expected a picture in {path}, got {one_line(error)}; mend or remove the file") from error
    return pixels[..., None] if pixels.ndim == 2 else pixels


def image_folder(
    name: str, folder: Path, split: Split, shape: tuple[int, int, int], *, classes: Sequence[str] | None = None
) -> ImageSet:
    """`<folder>/<split>/<class>/*.png|jpg`; classes in alphabetical order (numbers in theirs) are labels 0, 1, ...

    Files are taken in the order of the sha256 of "<class>/<file name>": fixed, the same everywhere, and mixed, so that the
    first n examples are a sample of all classes. JPEG copies of a data set that is distributed without loss get a name of
    their own (cifar10 becomes cifar10-jpeg): what is measured on them is not measured on that data set.
    """
    root = folder / split
    found = sorted(path.name for path in root.iterdir() if path.is_dir())
    if all(name.isascii() and name.isdigit() for name in found):
        found.sort(key=int)  # class 10 comes after class 9
    wanted = list(classes) if classes is not None else found
    files = [
        (label, path)
        for label, klass in enumerate(wanted)
        for path in sorted((root / klass).iterdir() if (root / klass).is_dir() else ())
        if path.suffix.lower() in PICTURES
    ]
    if not files:
        raise BadInput(f"expected {root}/<class>/*.png or *.jpg, got no picture; put the images there")
    empty = sorted(set(wanted) - {path.parent.name for _, path in files})
    if empty:
        raise BadInput(f"expected pictures of every class in {root}, got none of {', '.join(empty)}; put them there")
    files.sort(key=lambda item: hashlib.sha256(f"{item[1].parent.name}/{item[1].name}".encode()).digest())
    images, labels = _stack((_picture(path, shape) for _, path in files), [label for label, _ in files])
    lossy = any(path.suffix.lower() != ".png" for _, path in files)
    if lossy and name in LOSSLESS:
        name = f"{name}-jpeg"
    return ImageSet(name, split, images, labels, tuple(wanted), f"image folder {root.parent.name}/{split}")


def _tiny_imagenet_root(data_dir: Path) -> Path | None:
    looked = (data_dir / "tiny-imagenet-200", data_dir / "tiny-imagenet")
    return next((root for root in looked if (root / "train").is_dir()), None)


def tiny_imagenet(data_dir: Path, split: Split) -> ImageSet:
    """Tiny-ImageNet in its own layout: train/<id>/images/*.JPEG, and val/ with val_annotations.txt as the test split."""
    root = _tiny_imagenet_root(data_dir)
    if root is None:
        raise missing("tiny-imagenet", data_dir, split, "tiny-imagenet-200/ as it is distributed")
    classes = sorted(path.name for path in (root / "train").iterdir() if path.is_dir())
    label = {klass: k for k, klass in enumerate(classes)}
    if split == "train":
        files = [(label[path.parent.parent.name], path) for path in sorted(root.glob("train/*/images/*.JPEG"))]
    else:
        annotations = root / "val" / "val_annotations.txt"
        try:
            rows = list(csv.reader(annotations.read_text(encoding="utf-8").splitlines(), delimiter="\t"))
            files = [(label[row[1]], root / "val" / "images" / row[0]) for row in rows]
        except (OSError, KeyError, IndexError) as error:
            raise BadInput(
                f"expected file and class in each line of {annotations}, got {one_line(error)}; unpack it again"
            ) from error
    files.sort(key=lambda item: hashlib.sha256(item[1].name.encode()).digest())
    images, labels = _stack((_picture(path, (3, 64, 64)) for _, path in files), [k for k, _ in files])
    return ImageSet("tiny-imagenet", split, images, labels, tuple(classes), "tiny-imagenet-200 as distributed")


def imagenet(data_dir: Path, split: Split, transform: Transform | None = None) -> ImageSet:
    """ImageNet's validation folder: the 5,000 images that RobustBench judges, in its order.

    `<data-dir>/imagenet/val/<id>/*.JPEG`, resized to 256 and cropped to 224 unless an entrant brings a transform of its own.
    The fingerprint is taken over the files, so entrants with different transforms are still seen to be judged on the same
    pictures.
    """
    if split != "test":
        raise BadInput("expected the test split of imagenet, got train; training on imagenet is not offered")
    root = data_dir / "imagenet" / "val"
    if not root.is_dir():
        raise missing("imagenet", data_dir, split, "imagenet/val/<id>/*.JPEG")
    label = {path.name: k for k, path in enumerate(sorted(path for path in root.iterdir() if path.is_dir()))}
    paths = [root / entry for entry in _robustbench_imagenet_ids()]
    absent = [path for path in paths if not path.is_file()]
    if absent:
        raise BadInput(
            f"expected RobustBench's {len(paths)} validation images under {root}, got {len(absent)} missing,"
            f" first {absent[0].relative_to(root)}; unpack ILSVRC2012_img_val into folders named by class"
        )
    if transform is None:
        from torchvision.transforms import CenterCrop, Compose, Resize, ToTensor

        transform = Compose([Resize(256), CenterCrop(224), ToTensor()])
    content, pixels = hashlib.sha256(), []
    for path in paths:
        content.update(path.read_bytes())
        with Image.open(path) as image:
            # ToTensor divides whole grey levels by 255: as uint8 the picture loses nothing
            pixels.append((transform(image.convert("RGB")) * 255).round().to(torch.uint8))
    labels = torch.tensor([label[path.parent.name] for path in paths])
    content.update(labels.numpy().astype("<i8").tobytes())
    return ImageSet(
        "imagenet", split, torch.stack(pixels), labels, tuple(label), "imagenet/val", digest=content.hexdigest()
    )


def _robustbench_imagenet_ids() -> list[str]:
    """The pictures that RobustBench judges, as "<id>/<file>". Found without importing the package, which takes seconds."""
    spec = importlib.util.find_spec("robustbench")
    if spec is None or spec.origin is None:
        raise BadInput(f"expected the package robustbench, which lists the images of imagenet, got none; {INSTALL}")
    listed = Path(spec.origin).parent / "helper_files" / "imagenet_test_image_ids.txt"
    return [f"{Path(entry).parent.name}/{Path(entry).name}" for entry in listed.read_text(encoding="utf-8").split()]


# ---------------------------------------------------------------- by name


def load(
    name: str,
    split: Split,
    *,
    data_dir: Path,
    shape: tuple[int, int, int],
    classes: int,
    download: bool = False,
    transform: Transform | None = None,
) -> ImageSet:
    """A split of a data set by name, from the first place that has it; where none has, a part of it (harness.data.parts).
    Raises BadInput naming where it looked.

    `name` may be the user's own code, module:callable. `shape` and `classes` are what the suite expects of folders and
    .npz files; `transform` is an entrant's own, for ImageNet's pictures.
    """
    if is_own(name):
        return OwnData.find(name)(split)
    if name == "digits":
        return digits(split)
    if (data_dir / name / split).is_dir() and not (
        name == "tiny-imagenet" and (data_dir / name / "wnids.txt").exists()
    ):
        return image_folder(name, data_dir / name, split, shape)
    if (data_dir / name / f"{split}.npz").is_file():
        return npz_split(name, data_dir / name / f"{split}.npz", split, classes)
    require_parent(data_dir, name)
    if name in LOSSLESS:
        return torchvision_split(name, data_dir, split, download)
    if name == "tiny-imagenet":
        return tiny_imagenet(data_dir, split)
    if name == "imagenet":
        return imagenet(data_dir, split, transform)
    raise missing(name, data_dir, split, "a data set that the harness knows")


def is_here(name: str, split: Split, data_dir: Path) -> bool:
    """Whether there is something to load a split from, by the names of files alone: nothing is read."""
    if is_own(name) or name == "digits":
        return True
    if (data_dir / name / split).is_dir() or (data_dir / name / f"{split}.npz").is_file():
        return True
    if name in LOSSLESS:
        return torchvision_here(name, data_dir, split) or bool(parts_here(name, split, data_dir))
    if name == "tiny-imagenet":
        return _tiny_imagenet_root(data_dir) is not None
    return name == "imagenet" and (data_dir / "imagenet" / "val").is_dir()
