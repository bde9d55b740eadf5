"""Models of the Hugging Face hub, in its local cache or downloaded."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

import muniment

from .folders import INDEX
from .libraries import silence

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")
# Of a ControlNet or an adapter. Code and pickles are never fetched.
_PATTERNS = ["*.json", "*.safetensors", "*.txt", "*.model", "LICENSE*", "NOTICE*"]


def find(source: str) -> Path:
    """Return the local folder or file of a path or a hub id, which is downloaded if necessary.

    A revision in the cache is used without a request to the hub. So a replay needs no network and
    gets no newer revision. Raises ModelError.
    """
    path = Path(os.path.expanduser(source))
    if path.exists():
        return path
    if not _HUB_ID.fullmatch(source):
        raise muniment.ModelError(
            source, f"there is no model at {source}; give the path of a model's folder"
        )
    with contextlib.suppress(Exception):  # a download that was interrupted is repeated
        return _fetch(source, local=True)
    try:
        return _fetch(source, local=False)
    except Exception as error:  # network errors of several libraries
        raise muniment.ModelError(
            source,
            f"{source} is no folder here and could not be fetched from the Hugging Face hub "
            f"({type(error).__name__}); check the name and the network, or give a local folder",
        ) from error


def _fetch(source: str, *, local: bool) -> Path:
    """Return the snapshot of a hub id, of a pipeline only with the files that diffusers reads."""
    import diffusers
    from huggingface_hub import hf_hub_download, snapshot_download
    from huggingface_hub.errors import EntryNotFoundError

    with silence():
        try:
            index = Path(hf_hub_download(source, INDEX, local_files_only=local))
        except EntryNotFoundError:
            # `LocalEntryNotFoundError`, a subclass, is also raised for a ControlNet in the cache.
            return Path(snapshot_download(source, allow_patterns=_PATTERNS, local_files_only=local))
        if local:
            return _complete(index.parent)
        folder = diffusers.DiffusionPipeline.download(source, use_safetensors=True)
        return Path(folder)


def _complete(folder: Path) -> Path:
    """Return the cached folder of a pipeline. Raise ModelError if weights are missing."""
    from .folders import read_index

    for component in read_index(folder).components:
        if not any((folder / component.name).glob("*")):
            raise muniment.ModelError(str(folder), f"{folder} lacks {component.name}")
    return folder
