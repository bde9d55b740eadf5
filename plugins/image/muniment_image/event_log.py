"""Logs of a training for TensorBoard, which the extra `tensorboard` installs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import muniment


class TensorBoardLog:
    """A writer of losses and samples into a folder that TensorBoard shows."""

    def __init__(self, writer: Any) -> None:
        self._writer = writer

    def losses(self, step: int, losses: Mapping[str, float]) -> None:
        """Write the losses of a step."""
        for name, value in losses.items():
            self._writer.add_scalar(f"loss/{name}", value, step)

    def samples(self, step: int, pixels: NDArray[np.uint8]) -> None:
        """Write a grid of samples [H, W, 3]."""
        self._writer.add_image("samples", pixels, step, dataformats="HWC")


@contextlib.contextmanager
def open_event_log(folder: Path | None) -> Iterator[TensorBoardLog | None]:
    """Yield a log that writes into a folder, or None without a folder.

    Raises UsageError if TensorBoard is not installed, or if the folder cannot be written.
    """
    if folder is None:
        yield None
        return
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise muniment.UsageError(
            "TensorBoard is not installed; run `pip install 'muniment-image[tensorboard]'`"
        ) from None
    try:
        writer = SummaryWriter(folder)
    except OSError as error:
        raise muniment.UsageError(f"cannot write into {folder}: {error.strerror}") from None
    try:
        yield TensorBoardLog(writer)
    finally:
        writer.close()
