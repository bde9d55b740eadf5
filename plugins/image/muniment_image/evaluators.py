"""Evaluators of pictures. They read the recorded pixels.

One of them runs by default, so this module is imported for texts too. It imports numpy only when a
picture is evaluated.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import muniment

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from .classifier import Classifier

_MEDIA_TYPES = ("image/png",)
_SSIM_WINDOW = 11  # pixels
_NOVELTY_SIZE = 32  # pixels


def _pictures(generation: muniment.Generation) -> list[NDArray[np.uint8]]:
    """Return the pixels [H, W, 3] of the outputs that are pictures and can be read."""
    from .pictures import PictureError, read_picture

    pictures = []
    for output in generation.outputs:
        if output.media_type in _MEDIA_TYPES:
            with contextlib.suppress(PictureError):
                pictures.append(read_picture(output.data))
    return pictures


def _squares(pictures: Sequence[NDArray[np.uint8]], size: int, channels: int) -> Tensor:
    """Return pictures as a tensor [N, channels, size, size] in [-1, 1]."""
    import numpy as np

    from .pixels import square
    from .tensors import image_tensor

    return image_tensor(np.stack([square(pixels, size) for pixels in pictures]), channels)


class ImageSanity(muniment.Evaluator):
    """Finds pictures without content."""

    name = "image-sanity"
    media_types = _MEDIA_TYPES
    measures = (
        muniment.Measure("blank", higher_is_better=False),
        muniment.Measure("contrast"),
    )
    default = True

    def evaluate(self, generation: muniment.Generation) -> Mapping[str, float]:
        """Return the share of outputs of one colour, and the mean contrast.

        The contrast is the standard deviation of the values in [0, 1].
        """
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
            "", model=True, help="folder of a classifier, made by `muniment image classifier`"
        )

    _classifier: Classifier | None = None  # loaded for the first picture

    def __init__(
        self, parameters: Any = None, models: Mapping[str, muniment.Model] | None = None
    ) -> None:
        """Raise ParameterError without a classifier."""
        super().__init__(parameters, models)
        if "classifier" not in self.models:
            raise muniment.ParameterError(
                "classifier",
                "there is no classifier; use label-consistency(classifier=FOLDER)",
            )

    def evaluate(self, generation: muniment.Generation) -> Mapping[str, float]:
        """Return both measures, or none if the prompt is not a label of the classifier.

        `label-confidence` is the probability of the label. `label-match` is 1 if it is the most
        probable one. Raises ModelError if the classifier cannot be loaded.
        """
        from .classifier import load_classifier

        pictures = _pictures(generation)
        if not pictures:
            return {}
        if self._classifier is None:
            self._classifier = load_classifier(Path(self.models["classifier"].path))
        config = self._classifier.config
        position = config.position(generation.prompt)
        if position is None:
            return {}
        rows = self._classifier.probabilities(_squares(pictures, config.size, config.channels))
        return {
            "label-match": (rows.argmax(dim=1) == position).double().mean().item(),
            "label-confidence": rows[:, position].double().mean().item(),
        }


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
            "reference", help="name of the input to compare with, such as reference or init"
        )

    def evaluate(self, generation: muniment.Generation) -> Mapping[str, float]:
        """Return the measures of values in [0, 1], or none without an input of the same size.

        `psnr` is omitted for equal pictures, where it is infinite. `ssim` is omitted for pictures
        smaller than its window of 11 pixels.
        """
        import numpy as np

        from .pictures import read_picture

        name = self.parameters.against
        inputs = [input for input in generation.inputs if input.name == name and input.data]
        pictures = _pictures(generation)
        if not inputs or not pictures:
            return {}
        expected = read_picture(inputs[0].data)
        if any(pixels.shape != expected.shape for pixels in pictures):
            return {}
        scores: dict[str, list[float]] = {"mse": [], "psnr": [], "ssim": []}
        for pixels in pictures:
            error = float(np.square((pixels.astype(float) - expected) / 255).mean())
            scores["mse"].append(error)
            if error > 0:
                scores["psnr"].append(-10 * math.log10(error))
            if min(pixels.shape[:2]) >= _SSIM_WINDOW:
                scores["ssim"].append(_ssim(pixels, expected))
        return {name: _mean(values) for name, values in scores.items() if values}


class Novelty(muniment.Evaluator):
    """Measures how far a picture lies from the nearest picture of a data set."""

    name = "novelty"
    media_types = _MEDIA_TYPES
    measures = (muniment.Measure("novelty", higher_is_better=True),)

    class Parameters(muniment.Parameters):
        """Parameters of the evaluator."""

        data: str = muniment.param(
            "", model=True, help="folder of pictures, which is recorded by its digest"
        )

    _data: Tensor | None = None  # loaded for the first picture

    def __init__(
        self, parameters: Any = None, models: Mapping[str, muniment.Model] | None = None
    ) -> None:
        """Raise ParameterError without data."""
        super().__init__(parameters, models)
        if "data" not in self.models:
            raise muniment.ParameterError("data", "there is no data; use novelty(data=FOLDER)")

    def evaluate(self, generation: muniment.Generation) -> Mapping[str, float]:
        """Return the root mean square difference to the nearest picture, in units of [0, 1].

        Both pictures are resized to 32 x 32 pixels. A copy has 0. Raises UsageError if the data
        cannot be read.
        """
        from .datasets import read_dataset
        from .measures import nearest_distances
        from .tensors import image_tensor

        pictures = _pictures(generation)
        if not pictures:
            return {}
        if self._data is None:
            data = read_dataset(self.models["data"].path, size=_NOVELTY_SIZE)
            self._data = image_tensor(data.pixels, 3).flatten(1)
        rows = _squares(pictures, _NOVELTY_SIZE, 3).flatten(1)
        # A difference of 2 in [-1, 1] is one of 1 in [0, 1].
        distances = nearest_distances(rows, self._data) / (2 * math.sqrt(rows.shape[1]))
        return {"novelty": distances.double().mean().item()}


def _ssim(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Return the structural similarity of two pictures [H, W, 3]."""
    import torch
    from torchmetrics.functional.image import structural_similarity_index_measure

    first, second = (
        torch.from_numpy(pixels).permute(2, 0, 1)[None].double() / 255 for pixels in (one, other)
    )
    similarity = structural_similarity_index_measure(first, second, data_range=1.0)
    assert isinstance(similarity, torch.Tensor)  # a tuple is returned for other arguments
    return float(similarity)


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
