"""Tensors of pictures, as classifiers and measures read them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)  # of red, green and blue, ITU-R BT.601


def image_tensor(pixels: NDArray[np.uint8], channels: int) -> Tensor:
    """Return pictures uint8 [N, S, S, 1 or 3] as a tensor [N, channels, S, S] in [-1, 1]."""
    values = pixels.astype(np.float32)
    if channels == 1 and pixels.shape[-1] == 3:
        values = (values @ _LUMINANCE)[..., None]
    elif channels == 3 and pixels.shape[-1] == 1:
        values = values.repeat(3, axis=-1)
    return torch.from_numpy(values).permute(0, 3, 1, 2).contiguous().div_(127.5).sub_(1)
