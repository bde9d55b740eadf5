"""Outputs of generations, and the items and comparisons of outputs."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from muniment.representation import showing
from muniment.types.media_types import shown_content, text_content

FinishReason: TypeAlias = Literal["stop", "length"]
FINISH_REASONS = (None, "stop", "length")


@dataclass(frozen=True, slots=True)
class SelectionCommitment:
    """The commitment to the selection of a list, under the salt of the output's payload.

    `digest` is in hexadecimal. It reveals nothing after the payload was erased with its salt.

    Example:
        >>> muniment.SelectionCommitment(b"salt", "00ff").digest
        '00ff'
    """

    salt: bytes = field(repr=False)
    digest: str

    __repr__ = showing("digest")


@dataclass(frozen=True, slots=True)
class Output:
    """One output of a generation, as bytes of any media type.

    `finish_reason` of a text is `stop` if the model or a stop string ended it, and `length` if
    it reached the maximum length. `fingerprint` is what its media type computes to find the
    output from a file again.

    A list has items, the candidates. `kept` has the positions, from 0, of the items that the
    pipeline selected, and is None if it selected none. `wanted` is the number of items that the
    generator wanted. In a recorded output `data` has all candidates, and `selection` commits to
    the bytes of the selected ones. In the output that `Session.generate` returns `data` has the
    selected items. The pipeline sets these four fields.

    Example:
        >>> output = muniment.Output("text/plain", "你好".encode(), "stop")
        >>> output.text
        '你好'
        >>> output.sha256[:8]
        '670d9743'
    """

    media_type: str
    data: bytes
    finish_reason: FinishReason | None = None
    kept: tuple[int, ...] | None = None
    fingerprint: bytes | None = None
    wanted: int | None = None
    selection: SelectionCommitment | None = None

    __repr__ = showing("media_type", "finish_reason", "kept", content=shown_content)

    @property
    def text(self) -> str | None:
        """The output as text, or None unless it is `text/*` or JSON."""
        return text_content(self.media_type, self.data)

    @property
    def sha256(self) -> str:
        """The SHA-256 of the bytes in hexadecimal. It is computed on each access, never stored."""
        return hashlib.sha256(self.data).hexdigest()


def Text(text: str, finish_reason: FinishReason | None = None) -> Output:
    """Return an output of plain text. The name is capitalised because it acts as a constructor.

    Example:
        >>> muniment.Text("Once upon a time", "stop")
        Output(media_type='text/plain', finish_reason='stop', content='Once upon a time')
    """
    return Output("text/plain", text.encode(), finish_reason)


@dataclass(frozen=True, slots=True)
class Item:
    """One item of an output that is a list.

    Attributes:
        id: The id of the item, which feedback on the item names. Filters read it too.
        text: The text that filters read.

    Example:
        >>> muniment.Item("b-17", "Moby-Dick").id
        'b-17'
    """

    id: str
    text: str

    __repr__ = showing()


@dataclass(frozen=True, slots=True)
class Comparison:
    """The difference between a recorded output and a new one, as a media type measures it.

    Attributes:
        distance: The distance of the two outputs, or None if they cannot be compared.
        unit: The unit of the distance, such as `largest difference of a pixel`.
        position: The first place where they differ, such as `sample 17`. Empty if unknown.

    Example:
        >>> print(muniment.Comparison(3.0, "largest difference of a pixel", "pixel 17"))
        largest difference of a pixel 3, first at pixel 17
    """

    distance: float | None
    unit: str
    position: str = ""

    __repr__ = showing()

    def __str__(self) -> str:
        distance = "" if self.distance is None else f" {self.distance:g}"
        return f"{self.unit}{distance}" + (f", first at {self.position}" if self.position else "")
