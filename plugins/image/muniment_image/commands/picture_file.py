"""The argument FILE of the commands that read a picture of unknown origin."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import muniment

if TYPE_CHECKING:
    from muniment_image.inspection.report import Report
    from muniment_image.trust import Trust


def read_picture_file(file: Path, trust: Trust) -> Report:
    """Return the metadata of a picture file.

    Raises UsageError for a file that cannot be read, is too large or has another format.
    """
    from muniment_image.inspection.report import read_report
    from muniment_image.pictures import MAX_BYTES

    # A device or a pipe could return bytes without an end.
    if file.exists() and not file.is_file():
        raise muniment.UsageError(f"cannot read {file}: it is not a file; use a picture")
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise muniment.UsageError(f"cannot read {file}: {error.strerror}") from None
    except ValueError:
        raise muniment.UsageError(f"cannot read {str(file)!r}: it is not a path") from None
    if len(data) > MAX_BYTES:
        raise muniment.UsageError(
            f"cannot read {file}: it has more than {MAX_BYTES:,} bytes; use a smaller picture"
        )
    report = read_report(data, trust)
    if report is None:
        raise muniment.UsageError(
            f"cannot read {file}: it is not a PNG, JPEG, WebP or AVIF picture; "
            "`muniment audit find` compares files of any format with the record"
        )
    return report
