"""Principal components of one class's images, for the class-wise starts of Mirza et al. 2024 (arXiv 2407.06315).

x_0 = mu + sum_i lambda_i alpha_i U_i with alpha_i ~ N(0, sigma^2) and lambda_i the singular values of the centred class
matrix. As lambda_i = sqrt(n-1) sd_i, that is mu + tau sum_i sd_i z_i U_i with tau = sigma sqrt(n-1) and z_i ~ N(0,1):
tau = 1 reproduces the class's covariance. By the exact eigendecomposition in float64; torch.pca_lowrank is random.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from harness.errors import BadInput


@dataclass(frozen=True)
class ClassPCA:
    """Mean (D,), components (k, D) in rows, standard deviations along them (k,), all float64, of n images."""

    mean: Tensor
    components: Tensor
    deviations: Tensor
    n: int

    def tau(self, sigma: float) -> float:
        """The scale-free width of a sigma that is meant for singular values."""
        return sigma * math.sqrt(self.n - 1)

    def __call__(self, z: Tensor, tau: float) -> Tensor:
        """Standard normal z (N, at least k) to points (N, D) of the class's distribution, not clamped to [0,1]."""
        weights = z[:, : len(self.deviations)].double() * self.deviations * tau
        return self.mean + weights @ self.components


def fit_class_pca(images: Tensor, variance: float) -> ClassPCA:
    """The fewest components of images (n, D) that reach the share `variance` in (0,1] of their variance.

    By the smaller of covariance (D, D) and Gram matrix (n, n). Components without variance are never kept. Raises
    BadInput for fewer than two images, and for a share out of its range.
    """
    if not 0 < variance <= 1:
        raise BadInput(f"expected a retained variance above 0 and up to 1, got {variance}; 0.95 keeps 95 %")
    n, size = images.shape
    if n < 2:
        raise BadInput(f"expected at least two images of a class for its components, got {n}; add images")
    data = images.double()
    mean = data.mean(0)
    centred = data - mean
    by_pixels = size <= n
    matrix = (centred.T @ centred if by_pixels else centred @ centred.T) / (n - 1)
    values, vectors = torch.linalg.eigh(matrix)
    values, vectors = values.flip(0), vectors.flip(1)  # the largest first
    rank = int((values > values[0].clamp_min(0) * torch.finfo(torch.float64).eps * max(n, size)).sum())
    reached = values[:rank].cumsum(0) / values[:rank].sum()
    # the first place at which the share is reached, not the last one below it
    kept = min(rank, int((reached < variance).sum()) + 1)
    values, vectors = values[:kept], vectors[:, :kept]
    components = vectors.T if by_pixels else (centred.T @ vectors).T / (values * (n - 1)).sqrt().unsqueeze(1)
    # an eigenvector's sign is the library's choice: the largest entry is made positive, so that draws are the same everywhere
    largest = components.abs().argmax(1, keepdim=True) if kept else components.new_zeros((0, 1), dtype=torch.int64)
    components = components * components.gather(1, largest).sign()
    return ClassPCA(mean, components.contiguous(), values.sqrt(), n)
