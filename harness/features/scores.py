"""Inception Score, FID, KID, precision and recall of generated images, by torch-fidelity's own functions from features.

FID errs high for few images (10k and 50k are different scales) and means nothing for fewer images than features, where the
covariance is singular: it is then not given. KID is unbiased; precision and recall (Kynkaanniemi et al. 2019) depend on the
number of images of both sets. torch-fidelity stays silent, or gives NaN, where these cannot be computed; here the reason
stands in place of the number.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from harness.errors import BadInput
from leaderboards.board.labels import EQUAL_N, label
from leaderboards.records.schema import Quantity, Value

NAMES = ("fid", "kid", "kid.sd", "inception_score", "inception_score.sd", "precision", "recall")

_LOWER, _HIGHER = ("fid", "kid"), ("inception_score", "precision", "recall")
_SHOWN = {
    "fid": ("FID", "Fréchet distance to the training images."),
    "starts.fid": ("FID, 0 steps", "The starts alone, before any step: Fréchet distance."),
    "kid": ("KID", "Unbiased squared kernel distance to the training images."),
    "inception_score": ("IS", "Inception Score."),
}


def _quantity(name: str, score: str) -> Quantity:
    short, said = _SHOWN.get(name, ("", ""))
    return Quantity(
        title=label(name),
        short=short,
        better="lower" if score in _LOWER else "higher" if score in _HIGHER else "neither",
        kind="headline" if short else "detail",
        description=said,
    )


QUANTITIES = {
    f"{equal}{of}{score}": _quantity(f"{equal}{of}{score}", score)
    for equal in ("", EQUAL_N)
    for of in ("", "starts.", "held_out.")
    for score in (*NAMES, "nearest_distance.mean", "nearest_distance.min")
}
"""How to read the scores of the images, of their starts and of held-out images. Near a training image is neither good nor bad:
copies are the nearest."""


@dataclass(frozen=True)
class Features:
    """Of N images: features (N, F) and logits (N, L), float32 on the CPU."""

    features: Tensor
    logits: Tensor

    def __len__(self) -> int:
        return len(self.features)

    def first(self, n: int) -> Features:
        return Features(self.features[:n], self.logits[:n])


@dataclass(frozen=True)
class Scores:
    """Settings as torch-fidelity's defaults; KID's subsets must not be larger than the smaller set. Precision and recall are
    of at most the first `neighbours_of` images of each set: their distances are all pairs."""

    isc_splits: int = 10
    kid_subsets: int = 100
    kid_subset_size: int = 1000
    neighbourhood: int = 3
    neighbours_of: int = 10_000

    def __post_init__(self) -> None:
        fewest = {
            "isc_splits": 1,
            "kid_subsets": 1,
            "kid_subset_size": 2,
            "neighbourhood": 1,
            "neighbours_of": self.neighbourhood + 1,
        }
        for name, least in fewest.items():
            if getattr(self, name) < least:
                raise BadInput(f"expected {name} of at least {least}, got {getattr(self, name)}; correct it")

    def __call__(self, images: Features, real: Features, method: str) -> dict[str, Value]:
        """Scores by name (NAMES). `method` names the extractor, and stands in every value."""
        n = len(images)
        bad = int((~images.features.isfinite().all(1) | ~images.logits.isfinite().all(1)).sum()) if n else 0
        if n == 0 or bad:
            reason = f"{bad} of {n} images have features that are not finite" if bad else "no images"
            return {name: Value(value=None, n=n, reason=reason, method=method) for name in NAMES}
        found = {**self._fid(images, real), **self._kid(images, real), **self._isc(images), **self._prc(images, real)}
        values = {}
        for name in NAMES:
            number = found[name]
            reason = number if isinstance(number, str) else ""
            value = None if isinstance(number, str) else number
            values[name] = Value(value=value, n=n, reason=reason, method=method)
        return values

    def _fid(self, images: Features, real: Features) -> dict[str, float | str]:
        size, fewest = images.features.shape[1], min(len(images), len(real))
        if fewest <= size:
            return {"fid": f"FID needs more images than the {size} features, got {fewest}"}
        return {"fid": frechet_distance(images.features, real.features)}

    def _kid(self, images: Features, real: Features) -> dict[str, float | str]:
        from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, KEY_METRIC_KID_STD, kid_features_to_metric

        fewest = min(len(images), len(real))
        if fewest < self.kid_subset_size:
            reason = f"KID needs at least its subsets' {self.kid_subset_size} images, got {fewest}"
            return {"kid": reason, "kid.sd": reason}
        found = kid_features_to_metric(
            images.features,
            real.features,
            kid_subsets=self.kid_subsets,
            kid_subset_size=self.kid_subset_size,
            verbose=False,
        )
        return {"kid": found[KEY_METRIC_KID_MEAN], "kid.sd": found[KEY_METRIC_KID_STD]}

    def _isc(self, images: Features) -> dict[str, float | str]:
        from torch_fidelity.metric_isc import KEY_METRIC_ISC_MEAN, KEY_METRIC_ISC_STD, isc_features_to_metric

        if len(images) < self.isc_splits:
            reason = f"the Inception Score needs at least its {self.isc_splits} splits' images, got {len(images)}"
            return {"inception_score": reason, "inception_score.sd": reason}
        found = isc_features_to_metric(images.logits, splits=self.isc_splits)
        return {"inception_score": found[KEY_METRIC_ISC_MEAN], "inception_score.sd": found[KEY_METRIC_ISC_STD]}

    def _prc(self, images: Features, real: Features) -> dict[str, float | str]:
        from torch_fidelity.metric_prc import KEY_METRIC_PRECISION, KEY_METRIC_RECALL, prc_features_to_metric

        fewest = min(len(images), len(real))
        if fewest <= self.neighbourhood:
            reason = f"precision and recall need more images than {self.neighbourhood} neighbours, got {fewest}"
            return {"precision": reason, "recall": reason}
        found = prc_features_to_metric(
            images.first(self.neighbours_of).features,
            real.first(self.neighbours_of).features,
            prc_neighborhood=self.neighbourhood,
            save_cpu_ram=True,
            verbose=False,
        )
        return {"precision": found[KEY_METRIC_PRECISION], "recall": found[KEY_METRIC_RECALL]}


def frechet_distance(features: Tensor, real: Tensor) -> float:
    """torch-fidelity's FID of two sets of features (N, F) and (M, F)."""
    from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_features_to_statistics, fid_statistics_to_metric

    statistics = (fid_features_to_statistics(part) for part in (features, real))
    return fid_statistics_to_metric(*statistics, verbose=False)[KEY_METRIC_FID]


def nearest(images: Tensor, training: Tensor, chunk: int = 512) -> tuple[Tensor, Tensor]:
    """For images (N, D) the index (N,) of the nearest of the training images (M, D), and its distance (N,) in L2.

    Both uint8 with 0-255 for [0,1], both on one device; distances are in units of [0,1]. The index by float32 matrix
    products, the distance by the difference itself: that of a copy is exactly 0.
    """
    found = []
    squares = [(part.float() / 255).square().sum(1) for part in training.split(8192)]
    for rows in images.split(chunk):
        x = rows.float() / 255
        scores = [
            square - 2 * x @ (part.float() / 255).T for square, part in zip(squares, training.split(8192), strict=True)
        ]
        found.append(torch.cat(scores, 1).argmin(1))
    index = torch.cat(found) if found else torch.zeros(0, dtype=torch.int64, device=images.device)
    return index, ((images.float() - training[index].float()) / 255).norm(dim=1)
