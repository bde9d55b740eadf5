"""Tensors of pictures with values in [-1, 1], and their pixels."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# Shares of red, green and blue in 1/65536, by ITU-R BT.601. Whole numbers round alike everywhere.
_LUMINANCE = np.array([19595, 38470, 7471], np.uint32)


def image_tensor(pixels: NDArray[np.uint8], channels: int) -> Tensor:
    """Return pictures uint8 [N, H, W, 1 or 3] as a tensor [N, channels, H, W] in [-1, 1]."""
    if channels == 1 and pixels.shape[-1] == 3:
        grey = (pixels.astype(np.uint32) * _LUMINANCE).sum(axis=-1, keepdims=True)
        pixels = ((grey + 0x8000) >> 16).astype(np.uint8)
    values = pixels.astype(np.float32)
    if channels == 3 and pixels.shape[-1] == 1:
        values = values.repeat(3, axis=-1)
    return torch.from_numpy(values).permute(0, 3, 1, 2).contiguous().div_(127.5).sub_(1)


def pixels_of(images: Tensor) -> list[NDArray[np.uint8]]:
    """Return the pixels of images [B, C, H, W] in [-1, 1], each [H, W] or [H, W, 3]."""
    values = images.add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)
    arrays = values.permute(0, 2, 3, 1).cpu().numpy()
    return [array[:, :, 0] if array.shape[2] == 1 else array for array in arrays]
