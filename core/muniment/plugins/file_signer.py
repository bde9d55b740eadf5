"""The parts of exported files that only the core adds: the producer's code and the signature."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from muniment.errors import ProvenanceError
from muniment.types.generations import Generation
from muniment.types.provenance import Provenance

if TYPE_CHECKING:
    from muniment.config import Config
    from muniment.provenance import Credentials

# The formats in which the library c2pa-python can write a manifest, by their suffixes.
SIGNED_TYPES = {
    ".avif": "image/avif",
    ".gif": "image/gif",
    ".heic": "image/heic",
    ".heif": "image/heif",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".m4a": "audio/mp4",
    ".mp3": "audio/mpeg",
    ".mp4": "video/mp4",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".wav": "audio/wav",
    ".webp": "image/webp",
}


class FileSigner:
    """The producer's code, the certificate and the private key of a home.

    They are read when the first file is exported. The private key stays in this process, and no
    worker process receives it.
    """

    def __init__(self, config: Config | None = None) -> None:
        """Take the settings, without which files have no code and are not signed."""
        self._config = config

    def provenance(self, generation: Generation, *, private: bool = False) -> Provenance:
        """Return the facts that a file of a generation contains.

        With `private`, they have no prompt and no parameters, and no models of parameters.
        """
        provenance = replace(generation.provenance, producer=self._setting("producer") or "")
        if not private:
            return provenance
        # The model's name and digest stay, because they are parts of the labels.
        return replace(provenance, prompt="", parameters={}, models={})

    def notice(self, suffix: str) -> str:
        """Return a sentence on what files of a format lack without settings, or an empty text."""
        lacks: dict[str, str] = {}
        if suffix in SIGNED_TYPES and self._credentials is None:
            lacks["certificate"] = "are not signed"
        if suffix in SIGNED_TYPES and self._setting("producer") is None:
            lacks["producer"] = "name no producer"
        if not lacks:
            return ""
        effects, names = map(" and ".join, (lacks.values(), lacks))
        return f"files {effects}; use `muniment config set` for {names}"

    def check(self, suffix: str) -> None:
        """Raise ProvenanceError if files of a format should be signed, but cannot be."""
        if suffix in SIGNED_TYPES and self._credentials is not None:
            from muniment.provenance import can_sign

            if not can_sign(SIGNED_TYPES[suffix]):
                raise ProvenanceError(
                    f"the installed version of c2pa-python cannot sign {suffix} files; run "
                    "`pip install --upgrade 'muniment[c2pa]'`"
                )

    def sign(
        self,
        file: bytes,
        suffix: str,
        provenances: Sequence[Provenance],
        generations: Sequence[Generation],
        report: Callable[[str], None],
    ) -> bytes:
        """Return a file with a signed manifest, or unchanged without a certificate.

        The inputs of the generations that have a manifest become ingredients of it. If the file
        cannot be signed with them, it is signed without them, and `report` receives the reason.
        Raises ProvenanceError if the certificate cannot be used.
        """
        if suffix not in SIGNED_TYPES or self._credentials is None:
            return file
        from muniment.provenance import Parent, can_sign, sign

        inputs = {item.data: item for generation in generations for item in generation.inputs}
        parents = [
            Parent(item.data, item.media_type)
            for item in inputs.values()
            if item.data and can_sign(item.media_type)
        ]
        media_type, credentials = SIGNED_TYPES[suffix], self._credentials
        if parents:
            try:
                return sign(file, media_type, provenances, credentials, parents)
            except ProvenanceError as error:
                # Inputs can come from anyone, so a manifest of theirs must not prevent an export.
                signed = sign(file, media_type, provenances, credentials)
                report(
                    f"the signature of generation {provenances[0].id} does not name its inputs, "
                    f"because with their manifests {error}"
                )
                return signed
        return sign(file, media_type, provenances, credentials)

    @cached_property
    def _credentials(self) -> Credentials | None:
        """The certificate and its key, or None if the settings name none."""
        certificate, key = map(self._setting, ("certificate", "certificate_key"))
        if certificate is None and key is None:
            return None
        if certificate is None or key is None:
            missing = "certificate_key" if key is None else "certificate"
            raise ProvenanceError(
                f"files cannot be signed, because the setting {missing} has no value; run "
                f"`muniment config set {missing} FILE`"
            )
        from muniment.provenance import load_credentials

        return load_credentials(*(Path(os.path.expanduser(path)) for path in (certificate, key)))

    def _setting(self, key: str) -> str | None:
        return None if self._config is None else self._config.get(key)
