"""Read and write bundles: plugins with their dependencies in one file, for use without a network.

A bundle is a zip archive of these files:

- `manifest.json`: canonical JSON with name, version and SHA-256 of every wheel, and the plugins
- `wheels/`: the wheels
- `plugins.lock`: the same hashes in pip's format
- `manifest.sig`, in a signed bundle: the public key, and its Ed25519 signature over
  `muniment-bundle/1`, a newline and the bytes of the manifest
"""

from __future__ import annotations

import base64
import json
import lzma
import struct
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from muniment.installation import (
    Distributions,
    KeyFormatError,
    PrivateKey,
    PublicKey,
    canonical,
    normalised,
    strict_base64,
)
from muniment_installer.errors import BundleError, ConflictError, TamperedBundleError
from muniment_installer.locks import Pin, lines
from muniment_installer.preflight import fits, requirements
from muniment_installer.resolver import InstallPlan
from muniment_installer.wheels import Wheel

FORMAT = "muniment-bundle/1"
SUFFIX = ".bundle"
MANIFEST, SIGNATURE, LOCK = "manifest.json", "manifest.sig", "plugins.lock"
_LIMIT = 2**20  # bytes of a manifest or a signature
_CHUNK = 2**20
_DAMAGE = (  # the exceptions of reading an archive in which any byte may be altered
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    KeyError,
    OSError,
    OverflowError,
    RuntimeError,
    ValueError,
)


class _Listed(msgspec.Struct, forbid_unknown_fields=True):
    file: str
    name: str
    version: str
    sha256: str
    bytes: int


class _Manifest(msgspec.Struct, forbid_unknown_fields=True):
    format: str
    plugins: list[str]
    wheels: list[_Listed]


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle that was read and checked. `key` signed it, and is None for an unsigned one."""

    path: Path
    plugins: tuple[str, ...]
    wheels: tuple[_Listed, ...]
    key: PublicKey | None

    @property
    def signer(self) -> str | None:
        """The fingerprint of the key that signed the bundle."""
        return None if self.key is None else fingerprint(self.key)


def fingerprint(key: PublicKey) -> str:
    """Return the SHA-256 of a public key's 32 bytes, in hexadecimal."""
    return sha256(key.key).hexdigest()


def is_bundle(path: Path) -> bool:
    """Return whether a file is meant to be a bundle, by its name or its content."""
    if path.suffix.lower() == SUFFIX:
        return True
    if path.suffix == ".whl" or not path.is_file() or not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return MANIFEST in archive.namelist()
    except _DAMAGE:
        return False


def write(
    file: BinaryIO, plugins: Collection[str], wheels: Iterable[Wheel], key: PrivateKey | None
) -> None:
    """Write a bundle of wheels. `plugins` are the normalised names of the plugins among them."""
    packed = sorted(wheels, key=lambda wheel: wheel.key)
    manifest = canonical(
        {
            "format": FORMAT,
            "plugins": sorted(plugins),
            "wheels": [
                {
                    "file": wheel.path.name,
                    "name": wheel.name,
                    "version": wheel.version,
                    "sha256": wheel.sha256,
                    "bytes": wheel.path.stat().st_size,
                }
                for wheel in packed
            ],
        }
    )
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(MANIFEST, manifest)
        if key is not None:
            signature = base64.b64encode(key.sign(_signed(manifest))).decode()
            archive.writestr(
                SIGNATURE, json.dumps({"key": str(key.public), "signature": signature})
            )
        archive.writestr(LOCK, _lock(packed))
        for wheel in packed:
            archive.write(wheel.path, f"wheels/{wheel.path.name}")


def read(path: Path, required: PublicKey | None = None) -> Bundle:
    """Read a bundle and check its signature, if it has one. `extract` checks the wheels.

    Raises TamperedBundleError when the bundle is damaged, or its files differ from its manifest.
    The same holds for a wrong signature, and for one by another key than `required`. Raises
    BundleError when the file cannot be read or has another format.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise BundleError(path, f"cannot be read: {error.strerror}") from None
    try:
        with file, zipfile.ZipFile(file) as archive:
            names = sorted(archive.namelist())
            manifest, lock = _member(archive, MANIFEST), _member(archive, LOCK)
            signature = _member(archive, SIGNATURE) if SIGNATURE in names else None
        decoded = msgspec.json.decode(manifest, type=_Manifest)
    except _DAMAGE:
        raise TamperedBundleError(path, "is damaged, or not a bundle; get it again") from None
    key = None if signature is None else _verified(path, manifest, signature)
    if required is not None and (key is None or key.key != required.key):
        by = "unsigned" if key is None else f"signed by {key}"
        raise TamperedBundleError(path, f"is {by}, and not signed by {required}")
    if decoded.format != FORMAT:
        raise BundleError(
            path, f"has the format {decoded.format!r}, and this Muniment reads {FORMAT}"
        )
    if any(not _plain(wheel.file) for wheel in decoded.wheels):
        raise BundleError(path, "lists a wheel whose name is not a file name")
    own = [MANIFEST, LOCK] if signature is None else [MANIFEST, SIGNATURE, LOCK]
    named = sorted([*own, *(f"wheels/{wheel.file}" for wheel in decoded.wheels)])
    if names != named or lock != _lock(decoded.wheels).encode():
        raise TamperedBundleError(path, "was altered: its files differ from its manifest")
    return Bundle(path, tuple(decoded.plugins), tuple(decoded.wheels), key)


def extract(bundle: Bundle, into: Path) -> list[Wheel]:
    """Extract the wheels of a bundle into a folder, each checked against the manifest."""
    wheels = []
    for listed in bundle.wheels:
        target = into / listed.file
        hashed = sha256()
        try:
            with (
                zipfile.ZipFile(bundle.path) as archive,
                archive.open(f"wheels/{listed.file}") as source,
                target.open("wb") as write,
            ):
                while part := source.read(_CHUNK):
                    hashed.update(part)
                    write.write(part)
        except _DAMAGE:
            raise TamperedBundleError(
                bundle.path, f"has no readable {listed.file}, which its manifest lists"
            ) from None
        if hashed.hexdigest() != listed.sha256:
            raise TamperedBundleError(
                bundle.path, f"was altered: {listed.file} differs from its manifest"
            )
        wheel = Wheel.read(target)
        if (wheel.name, wheel.version) != (listed.name, listed.version):
            raise TamperedBundleError(
                bundle.path, f"was altered: {listed.file} is not {listed.name} {listed.version}"
            )
        wheels.append(wheel)
    return wheels


def pick(
    bundle: Bundle,
    wheels: Iterable[Wheel],
    present: Distributions,
    owned: Callable[[set[str]], set[str]] = lambda keys: set(),
) -> InstallPlan:
    """Return which wheels of a bundle to install: the plugins, and missing distributions.

    Distributions that `owned` returns for the plugins are replaced when the bundle needs that.
    """
    offered = {wheel.key: wheel for wheel in wheels}
    targets = {normalised(name) for name in bundle.plugins}
    if missing := targets - set(offered):
        raise TamperedBundleError(bundle.path, f"has no wheel of {', '.join(sorted(missing))}")
    chosen = {key: offered[key] for key in sorted(targets)}
    waiting = list(chosen.values())
    free = owned(targets)
    while waiting:
        wheel = waiting.pop()
        for needed in requirements(wheel.requires):
            key = normalised(needed.name)
            if key in chosen or (
                key in present and (key not in free or fits(needed.specifier, present[key].version))
            ):
                continue  # `preflight.check` compares the versions
            if key not in offered or not fits(needed.specifier, offered[key].version):
                raise ConflictError(
                    wheel.name,
                    f"{wheel.name} {wheel.version} needs {needed.name}{needed.specifier}, which is "
                    f"neither installed nor in {bundle.path}",
                )
            chosen[key] = offered[key]
            waiting.append(offered[key])
    signer = bundle.signer
    return InstallPlan(
        list(chosen.values()),
        targets,
        free=free,
        signer=dict.fromkeys(targets, signer) if signer is not None else {},
    )


def _lock(wheels: Iterable[Wheel | _Listed]) -> str:
    return lines(Pin(wheel.name, wheel.version, (wheel.sha256,)) for wheel in wheels)


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    if archive.getinfo(name).file_size > _LIMIT:
        raise ValueError("too large")
    return archive.read(name)


def _verified(path: Path, manifest: bytes, signature: bytes) -> PublicKey:
    """Return the key that signed a manifest. Raise TamperedBundleError for a wrong signature."""
    try:
        decoded: Any = json.loads(signature)
        key = PublicKey.parse(decoded["key"])
        good = key.verify(strict_base64(decoded["signature"]), _signed(manifest))
    except (KeyFormatError, ValueError, KeyError, TypeError, AttributeError):
        good = False
    if not good:
        raise TamperedBundleError(path, "was altered: its signature does not match; get it again")
    return key


def _signed(manifest: bytes) -> bytes:
    """Return the signed bytes. No checkpoint, which the same key signs, begins like them."""
    return FORMAT.encode() + b"\n" + manifest


def _plain(name: str) -> bool:
    return name.endswith(".whl") and not set(name) & set("/\\:\0") and not name.startswith(".")
