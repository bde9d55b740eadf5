"""Evaluators of pictures. They read the recorded pixels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

import muniment

from .pictures import read_picture

_MEDIA_TYPES = ("image/png",)
_SSIM_SIDE = 11  # pixels of the window of SSIM


def _pictures(generation: muniment.Generation) -> list[NDArray[np.uint8]]:
    """Return the pixels of the outputs that are pictures."""
    return [
        read_picture(output.data)
        for output in generation.outputs
        if output.media_type in _MEDIA_TYPES
    ]


def _mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)


class ImageSanity(muniment.Evaluator):
    """Finds pictures without content. `blank` is the share of outputs of one colour only."""

    name = "image-sanity"
    media_types = _MEDIA_TYPES
    measures = (
        muniment.Measure("blank", higher_is_better=False),
        muniment.Measure("contrast"),
    )
    default = True

    def evaluate(self, generation: muniment.Generation) -> Mapping[str, float]:
        """Return both measures. `contrast` is the standard deviation of the values, from 0 to ½."""
        pictures = _pictures(generation)
        if not pictures:
            return {}
        return {
            "blank": _mean([float((pixels == pixels[:1, :1]).all()) for pixels in pictures]),
            "contrast": _mean([float(pixels.std() / 255) for pixels in pictures]),
        }


class LabelConsistency(muniment.Evaluator):
    """Compares a picture with the label that was its prompt, with the help of a classifier."""

    name = "label-consistency"
    media_types = _MEDIA_TYPES
    measures = (
        muniment.Measure("label-match", higher_is_better=True),
        muniment.Measure("label-confidence", higher_is_better=True),
    )

    class Parameters(muniment.Parameters):
        """Parameters of the evaluator."""

        classifier: str = muniment.param(
            model=True, help="folder of a classifier, from `muniment image classifier`"
        )

    def evaluate(self, generation: muniment.Generation) -> Mapping[str, float]:
        """Return both measures, or none if the prompt is not a label of the classifier.

        `label-confidence` is the probability of the label. `label-match` is 1 if it is the most
        probable one. Raises ModelError if the classifier cannot be loaded.
        """
        import torch

        from .tensors import tensor_of

        classifier = self._classifier
        config = classifier.config
        labels = [label.casefold() for label in config.labels]
        label, pictures = generation.prompt.strip().casefold(), _pictures(generation)
        if label not in labels or not pictures:
            return {}
        images = [
            tensor_of(pixels, size=config.size, channels=config.channels) for pixels in pictures
        ]
        rows = classifier.probabilities(torch.stack(images))
        position = labels.index(label)
        return {
            "label-match": (rows.argmax(dim=1) == position).double().mean().item(),
            "label-confidence": rows[:, position].double().mean().item(),
        }

    @cached_property
    def _classifier(self):  # type: ignore[no-untyped-def]  # importing its class imports torch
        from .classifier import load_classifier

        return load_classifier(Path(self.models["classifier"].path))


class ImageSimilarity(muniment.Evaluator):
    """Compares a picture with one of its inputs, pixel by pixel."""

    name = "image-similarity"
    media_types = _MEDIA_TYPES
    measures = (
        muniment.Measure("mse", higher_is_better=False),
        muniment.Measure("psnr", "dB", higher_is_better=True),
        muniment.Measure("ssim", higher_is_better=True),
    )

    class Parameters(muniment.Parameters):
        """Parameters of the evaluator."""

        against: str = muniment.param(
            "reference", help="name of the input to compare with: reference or init"
        )

    def evaluate(self, generation: muniment.Generation) -> Mapping[str, float]:
        """Return the measures, or none if there is no such input or its size is another one.

        Values lie in [0, 1]. `psnr` is omitted for equal pictures, where it is infinite, and `ssim`
        for pictures smaller than its window of 11 pixels.
        """
        import torch
        from torchmetrics.functional.image import structural_similarity_index_measure

        given = [entry for entry in generation.inputs if entry.name == self.parameters.against]
        pictures = _pictures(generation)
        if not given or not given[0].data or not pictures:
            return {}
        scores: dict[str, list[float]] = {"mse": [], "psnr": [], "ssim": []}
        for pixels in pictures:
            expected = read_picture(given[0].data, grey=pixels.ndim == 2)
            if expected.shape != pixels.shape:
                return {}
            one, other = (
                torch.from_numpy(np.atleast_3d(values)).double().div(255).permute(2, 0, 1)[None]
                for values in (pixels, expected)
            )
            error = (one - other).square().mean().item()
            scores["mse"].append(error)
            if error > 0:
                scores["psnr"].append(-10 * math.log10(error))
            if min(pixels.shape[:2]) >= _SSIM_SIDE:
                ssim = structural_similarity_index_measure(one, other, data_range=1.0)
                scores["ssim"].append(float(ssim))
        return {name: _mean(values) for name, values in scores.items() if values}


class Novelty(muniment.Evaluator):
    """Measures how far a picture lies from the nearest picture of a data set."""

    name = "novelty"
    media_types = _MEDIA_TYPES
    measures = (muniment.Measure("novelty", higher_is_better=True),)

    class Parameters(muniment.Parameters):
        """Parameters of the evaluator."""

        data: str = muniment.param(model=True, help="folder of pictures, recorded by its digest")

    _SIDE: ClassVar[int] = 32

    def evaluate(self, generation: muniment.Generation) -> Mapping[str, float]:
        """Return the root mean square difference to the nearest picture, in units of [0, 1].

        Both pictures are resized to 32 x 32. A copy has 0.
        """
        import torch

        from .measures import nearest_distances

        pictures = _pictures(generation)
        if not pictures:
            return {}
        rows = torch.stack([self._row(pixels) for pixels in pictures])
        distances = nearest_distances(rows, self._data) / math.sqrt(rows.shape[1])
        return {"novelty": distances.double().mean().item()}

    def _row(self, pixels: NDArray[np.uint8]):  # type: ignore[no-untyped-def]
        from .tensors import tensor_of

        return tensor_of(pixels, size=self._SIDE, channels=3).flatten().add(1).div(2)

    @cached_property
    def _data(self):  # type: ignore[no-untyped-def]
        import torch

        from .datasets import picture_files

        folder = Path(self.models["data"].path)
        return torch.stack(
            [self._row(read_picture(path.read_bytes())) for path in picture_files(folder)]
        )
