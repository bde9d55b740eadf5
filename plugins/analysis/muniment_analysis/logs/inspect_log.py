"""Read logs of Inspect: a ZIP archive `.eval`, or one JSON document `.json`.

The archive has `header.json`, or while it is written `_journal/start.json`, and a file for each
sample: `samples/ID_epoch_N.json`, or `samples/ID_epoch_N/sample.json` in version 3. The format is
documented at https://inspect.aisi.org.uk/eval-logs.html.
"""

from __future__ import annotations

import json
import re
import sys
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from muniment_analysis.errors import LogError

from .samples import Log, Measurement, identifier, number

if sys.version_info >= (3, 14):
    import zipfile

    from compression.zstd import ZstdError
else:  # the files of an archive are compressed with Zstandard
    from backports.zstd import ZstdError, zipfile

# The letters are correct, incorrect, partially correct and no answer.
_WORDS = {"c": 1.0, "p": 0.5, "i": 0.0, "n": 0.0, "yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}
_HEADERS = ("header.json", "_journal/start.json")
_SAMPLE = re.compile(r"samples/.+_epoch_\d+(\.json|/sample\.json)", re.DOTALL)  # an id may have /
_MAX_SAMPLE = 1 << 30  # bytes of an unpacked file


def read_archive(path: Path) -> Log:
    """Return the measurements of an `.eval` file. Raises LogError."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            headers = [name for name in _HEADERS if name in names]
            if not headers:
                raise LogError(path, "it is a ZIP archive without a header of Inspect; use its log")
            header = _member(path, archive, headers[0])
            # A sample that was written twice is listed twice, and the last one counts.
            samples = dict.fromkeys(name for name in names if _SAMPLE.fullmatch(name))
            return _log(path, header, (_member(path, archive, name) for name in samples))
    except (zipfile.BadZipFile, EOFError, zlib.error, ZstdError) as error:
        raise LogError(path, f"it is not a whole ZIP archive ({error}); copy it again") from None
    except NotImplementedError:
        raise LogError(
            path,
            "its files are compressed in a way that Python cannot read; convert it by "
            "`inspect log convert --to json`",
        ) from None
    except RuntimeError:
        raise LogError(path, "its files are encrypted; use a log without a password") from None


def is_document(document: object) -> bool:
    """Return whether a JSON document is a log of Inspect."""
    return isinstance(document, dict) and isinstance(document.get("eval"), dict)


def read_document(path: Path, document: dict[str, Any]) -> Log:
    """Return the measurements of a `.json` log. Raises LogError."""
    samples = document.get("samples")
    if not isinstance(samples, list):
        raise LogError(path, "it has no samples; write the log with samples")
    return _log(path, document, samples)


def _member(path: Path, archive: zipfile.ZipFile, name: str) -> Any:
    information = archive.getinfo(name)
    if information.file_size > _MAX_SAMPLE:
        raise LogError(path, f"{name} has more than {_MAX_SAMPLE:,} bytes; use a smaller log")
    try:
        return json.loads(archive.read(information))
    except (ValueError, RecursionError) as error:
        raise LogError(path, f"{name} is not JSON ({error}); copy the log again") from None


def _log(path: Path, header: Any, samples: Iterable[Any]) -> Log:
    evaluation = header.get("eval") if isinstance(header, dict) else None
    if not isinstance(evaluation, dict):
        raise LogError(path, "its header has no `eval`; use a log of Inspect")
    measurements: list[Measurement] = []
    seen: set[tuple[str, int]] = set()
    failed = 0
    for sample in samples:
        key = _key(path, sample)
        if key in seen:
            raise LogError(path, f"sample {key[0]!r} has epoch {key[1]} twice; remove one")
        seen.add(key)
        scores = list(_scores(sample))
        failed += not scores and bool(sample.get("error"))
        measurements += [Measurement(*key, name, value) for name, value in scores]
    return Log(
        model=str(evaluation.get("model", "")),
        task=str(evaluation.get("task", "")),
        measurements=tuple(measurements),
        failed=failed,
        is_complete=header.get("status") == "success",
    )


def _key(path: Path, sample: Any) -> tuple[str, int]:
    """Return the id and the epoch of a sample. Raises LogError."""
    item = identifier(sample.get("id")) if isinstance(sample, dict) else None
    epoch = sample.get("epoch", 1) if isinstance(sample, dict) else None
    if item is None or not isinstance(epoch, int) or isinstance(epoch, bool):
        raise LogError(path, "a sample has no id or epoch; use a log of Inspect")
    return item, epoch


def _scores(sample: dict[str, Any]) -> Iterator[tuple[str, float | None]]:
    """Yield the scores by the name of the scorer, and of the part of a score with several."""
    scores = sample.get("scores")
    for name, score in scores.items() if isinstance(scores, dict) else ():
        value = score.get("value") if isinstance(score, dict) else None
        if isinstance(value, dict):
            for part, number_of_part in value.items():
                yield f"{name}.{part}", number(number_of_part, _WORDS)
        else:
            yield str(name), number(value, _WORDS)
