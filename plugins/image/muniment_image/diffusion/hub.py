"""Models of the Hugging Face hub, in its local cache or downloaded."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

import muniment

from .folders import INDEX, check_complete, read_index
from .libraries import silence

_TIMEOUT = 10  # seconds
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
# Of a ControlNet or an adapter. Code and pickles are never fetched.
_PATTERNS = ["*.json", "*.safetensors", "*.txt", "*.model", "LICENSE*", "NOTICE*"]


def find(source: str) -> Path:
    """Return the local folder or file of a path or a hub id, which is downloaded if necessary.

    A revision in the cache is used without a request to the hub. So a replay needs no network and
    gets no newer revision. Raises ModelError.
    """
    path = Path(os.path.expanduser(source))
    if os.path.exists(path):  # `Path.exists` raises for a name that is too long
        return path
    if not _HUB_ID.fullmatch(source):
        raise muniment.ModelError(
            source, f"there is no model at {source}; give the path of a model's folder"
        )
    with contextlib.suppress(Exception):  # a download that was interrupted is repeated
        return _cached(source)
    try:
        return _fetched(source)
    except muniment.ModelError:
        raise
    except Exception as error:  # network errors of several libraries
        reason = f"({type(error).__name__}); check the network"
        if "safetensors" in str(error):
            reason = "as safetensors, and pickles are never opened; use another model"
        raise muniment.ModelError(
            source,
            f"{source} is no folder here and could not be fetched from the Hugging Face hub "
            f"{reason}, or give a local folder",
        ) from error


def check_available(source: str) -> None:
    """Raise ModelError unless the hub has a model and can be reached.

    One request is made. The functions that download repeat theirs for half a minute.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    try:
        HfApi().model_info(source, timeout=_TIMEOUT)
    except GatedRepoError as error:
        raise muniment.ModelError(
            source,
            f"the Hugging Face hub gives {source} only to users who accepted its terms; accept "
            "them there and run `hf auth login`, or give a local folder",
        ) from error
    except RepositoryNotFoundError as error:
        raise muniment.ModelError(
            source,
            f"{source} is no folder here, and the Hugging Face hub has no public model of this "
            "name; check the name, or give a local folder",
        ) from error


def _cached(source: str) -> Path:
    """Return the folder of a hub id in the cache. Raise an exception unless it is complete."""
    from huggingface_hub import hf_hub_download, snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = Path(hf_hub_download(source, INDEX, local_files_only=True)).parent
    except LocalEntryNotFoundError:  # it is not cached, or a model without such a file
        folder = Path(snapshot_download(source, allow_patterns=_PATTERNS, local_files_only=True))
        check_complete(folder)
        return folder
    for component in read_index(folder).components:
        check_complete(folder / component.name)
    return folder


def _fetched(source: str) -> Path:
    """Return the folder of a hub id after downloading the files that diffusers reads."""
    from diffusers import DiffusionPipeline
    from huggingface_hub import hf_hub_download, snapshot_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    check_available(source)
    with silence():
        try:
            index = hf_hub_download(source, INDEX)
        except LocalEntryNotFoundError:  # without a network
            raise
        except EntryNotFoundError:  # a ControlNet or an adapter
            folder = Path(snapshot_download(source, allow_patterns=_PATTERNS))
            check_complete(folder)
            return folder
        read_index(Path(index).parent)  # refuses code of its own
        return Path(DiffusionPipeline.download(source, use_safetensors=True))
