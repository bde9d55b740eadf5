"""Convert between pixels of pictures and tensors of networks."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor


def tensor_of(pixels: NDArray[np.uint8], *, size: int, channels: int) -> Tensor:
    """Return a picture as a tensor [channels, size, size] in [-1, 1].

    `pixels` is [H, W] or [H, W, 3]. A picture of another size is resized with Lanczos filtering.
    One that is not square is cut to its middle square before.
    """
    picture = Image.fromarray(pixels).convert("L" if channels == 1 else "RGB")
    width, height = picture.size
    if (width, height) != (size, size):
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2
        box = (left, top, left + side, top + side)
        picture = picture.resize((size, size), Image.Resampling.LANCZOS, box=box)
    values = torch.from_numpy(np.array(picture)).float().div(127.5).sub(1)
    return values[None] if channels == 1 else values.permute(2, 0, 1).contiguous()
