"""Draw images in batches of one fixed shape, so that no image depends on those drawn with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import muniment

from .drawings import Drawing
from .families.base import Family, Noise, SamplingError
from .memory import is_out_of_memory
from .tensors import pixels_of

Result = NDArray[np.uint8] | SamplingError
"""The pixels of an image, [H, W] or [H, W, 3], or the reason why there are none."""


class Sampler:
    """Draws images with one model.

    Kernels of convolutions and matrix products can give other last bits to a batch of another
    shape, and, in some of them, to another row. So each batch has exactly `rows` rows, of which
    those that nobody asked for are copies. `rows` is the batch size of the model if all of its rows
    give equal bits on this machine, and 1 otherwise.
    """

    def __init__(self, family: Family) -> None:
        self.family = family
        self.rows = family.config.batch
        if not self._rows_agree():
            self.rows = 1

    def draw(self, drawings: Sequence[Drawing]) -> Iterator[tuple[Drawing, Result]]:
        """Yield each image with its drawing, in batches of equal options.

        Raises MunimentError if there is not enough memory for a batch.
        """
        ordered = sorted(drawings, key=lambda drawing: repr(drawing.options))
        for _, group in groupby(ordered, key=lambda drawing: drawing.options):
            same = list(group)
            for start in range(0, len(same), self.rows):
                yield from self._draw_batch(same[start : start + self.rows])

    def _draw_batch(self, drawings: Sequence[Drawing]) -> Iterator[tuple[Drawing, Result]]:
        """Yield the images of one batch. One that has no finite numbers fails alone."""
        try:
            images = self._sample(drawings)
        except SamplingError as error:
            if len(drawings) == 1:
                yield drawings[0], error
                return
            for drawing in drawings:
                yield from self._draw_batch([drawing])
            return
        yield from zip(drawings, pixels_of(images), strict=False)  # the rest are copies

    def _sample(self, drawings: Sequence[Drawing]) -> Tensor:
        """Return images [rows, C, H, W] in [-1, 1], the first ones of which are the drawings."""
        copies = [drawings[-1]] * (self.rows - len(drawings))
        rows = [*drawings, *copies]
        first, family = rows[0], self.family
        size = family.config.image_size
        try:
            # These settings are for CUDA: without them, kernels are chosen by measuring, or round
            # more coarsely.
            with torch.backends.cudnn.flags(
                enabled=True, benchmark=False, deterministic=True, allow_tf32=False
            ):
                return family.sample(
                    torch.tensor([row.ids for row in rows]) if first.ids else None,
                    Noise([row.seed for row in rows], family.device),
                    steps=first.steps,
                    guidance=first.guidance,
                    strength=first.strength,
                    init=_images([row.init for row in rows], family.device),
                    mask=_planes([row.mask for row in rows], family.device),
                )
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise muniment.MunimentError(
                f"there is not enough memory for a batch of {self.rows} images of {size} x {size} "
                "pixels, which is the batch of this model; end other programs, or train a model "
                "with a smaller batch"
            ) from error

    def _rows_agree(self) -> bool:
        """Return whether equal rows of a batch become equal images."""
        config = self.family.config
        ids = (1,) * config.condition.length
        # Guidance doubles the rows that the network sees, and other kernels may compute them.
        has_guidance = ids and self.family.takes_guidance
        for guidance in (1.0, 2.0) if has_guidance else (None,):
            row = Drawing(0, ids, 1, guidance, 1.0, None, None)
            try:
                images = self._sample([row] * self.rows)
            except SamplingError:  # each image fails then
                continue
            if not (images == images[:1]).all():
                return False
        return True


def _images(pictures: Sequence[NDArray[np.uint8] | None], device: torch.device) -> Tensor | None:
    """Return pictures as a tensor [B, C, H, W] in [-1, 1], or None."""
    planes = _planes(pictures, device)
    return None if planes is None else planes.float().div_(127.5).sub_(1)


def _planes(pictures: Sequence[NDArray[Any] | None], device: torch.device) -> Tensor | None:
    """Return pictures [H, W] or [H, W, C] as a tensor [B, C, H, W], or None if there are none."""
    present = [picture for picture in pictures if picture is not None]
    if not present:
        return None
    stacked = torch.from_numpy(np.stack(present)).to(device)
    return stacked[:, None] if stacked.dim() == 3 else stacked.permute(0, 3, 1, 2).contiguous()
