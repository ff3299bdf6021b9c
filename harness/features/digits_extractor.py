"""The digits extractor as torch-fidelity takes one: uint8 images (N, 1, 8, 8) to 64 features and 10 logits."""

from __future__ import annotations

from typing import Any

import safetensors.torch
import torch
from torch import Tensor
from torch_fidelity.feature_extractor_base import FeatureExtractorBase

from harness.features.digits import DIGITS_WEIGHTS, DigitsFeatures


class DigitsExtractor(FeatureExtractorBase):
    """Registered with torch-fidelity as "digits-features"; features "64" (FID, KID, precision, recall) and "logits" (IS)."""

    def __init__(self, name: str, features_list: list[str], **given: Any) -> None:
        super().__init__(name, features_list)
        self.network = DigitsFeatures()
        path = given.get("feature_extractor_weights_path") or DIGITS_WEIGHTS
        self.network.load_state_dict(safetensors.torch.load_file(path), strict=True)
        self.requires_grad_(False).eval()

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        features, logits = self.network(images)
        found = {"64": features, "logits": logits}
        return tuple(found[name] for name in self.features_list)

    @staticmethod
    def get_provided_features_list() -> tuple[str, ...]:
        return "64", "logits"

    @staticmethod
    def get_default_feature_layer_for_metric(metric: str) -> str:
        return {"isc": "logits", "fid": "64", "kid": "64", "prc": "64"}[metric]

    @staticmethod
    def can_be_compiled() -> bool:
        return True

    @staticmethod
    def get_dummy_input_for_compile() -> Tensor:
        return torch.zeros(1, 1, 8, 8, dtype=torch.uint8)
