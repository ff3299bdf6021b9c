"""A mean over seeds and test images, with an interval that takes both as drawn at random.

Every seed is judged on the same images, so seeds and images cross: a seed may be a lucky one, an image may be hard for all
seeds, and the rest is of one seed on one image. With S seeds, N images and the mean squares of the two-way table without
repeats, the variance of the mean is estimated by (MS_seeds + MS_images - MS_rest) / SN, and Student's t gets the degrees of
freedom of Hillis (2007, Statistics in Medicine 26, 596), who has the same table of readers and cases. A difference of mean
squares may come out too small by chance, even below 0: the variance is here never less than that of seeds alone or of images
alone, so it errs high.

Not a bootstrap: of three seeds one can draw ten different samples, and the spread over them is too small by a third in
variance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

LEVEL = 0.95
"""Coverage of the intervals."""


@dataclass(frozen=True)
class CrossedMean:
    """The mean of a number over seeds and images. `low` and `high` hold it with probability LEVEL when both are drawn anew;
    `sd` is the sample standard deviation (n - 1) of the seeds' means, `seeds_low` and `seeds_high` Student's t interval over
    these alone, for the same images."""

    mean: float
    low: float
    high: float
    sd: float
    seeds_low: float
    seeds_high: float
    seeds: int
    images: int


def crossed_mean(table: np.ndarray, lowest: float, highest: float) -> CrossedMean:
    """The mean of a table (S seeds, N images), S >= 2, N >= 2, of numbers in [lowest, highest]; intervals stay inside.

    Where all numbers are one and the same, no variance can be estimated: the interval then says how many images could be
    others, of which none was seen (Clopper and Pearson), and errs wide. Raises ValueError for fewer seeds or images.
    """
    if table.ndim != 2 or min(table.shape) < 2:
        raise ValueError(f"expected a table of at least 2 seeds and 2 images, got shape {table.shape}")
    seeds, images = table.shape
    table = table.astype(np.float64)
    of_seeds, of_images, mean = table.mean(1), table.mean(0), float(table.mean())
    ms_seeds = images * float(((of_seeds - mean) ** 2).sum()) / (seeds - 1)
    ms_images = seeds * float(((of_images - mean) ** 2).sum()) / (images - 1)
    rest = table - of_seeds[:, None] - of_images[None, :] + mean
    ms_rest = float((rest**2).sum()) / ((seeds - 1) * (images - 1))
    most = max(ms_seeds + ms_images - ms_rest, ms_seeds, ms_images)
    if most <= 1e-18:
        unseen = 1 - ((1 - LEVEL) / 2) ** (1 / images)
        low, high = mean - unseen * (mean - lowest), mean + unseen * (highest - mean)
    else:
        freedom = most**2 * (seeds - 1) / ms_seeds**2 if ms_seeds > 1e-12 * most else math.inf
        half = student(freedom) * math.sqrt(most / (seeds * images))
        low, high = mean - half, mean + half
    sd = math.sqrt(ms_seeds / images)
    by_seed = student(seeds - 1) * sd / math.sqrt(seeds)
    return CrossedMean(
        mean=mean,
        low=max(low, lowest),
        high=min(high, highest),
        sd=sd,
        seeds_low=max(mean - by_seed, lowest),
        seeds_high=min(mean + by_seed, highest),
        seeds=seeds,
        images=images,
    )


def student(freedom: float) -> float:
    """Student's t for LEVEL, two-sided; of infinitely many degrees of freedom the normal one."""
    from scipy import stats  # a second to import: only boards with groups need it

    return float(stats.t.ppf((1 + LEVEL) / 2, freedom))
