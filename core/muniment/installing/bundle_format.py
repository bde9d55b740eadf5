"""Bundles: plugins with all they need in one file, for where there is no network.

A bundle is a zip archive: `manifest.json`, canonical JSON with the name, version and SHA-256 of
every wheel and which of them are the plugins asked for; the wheels; `plugins.lock`, the same hashes
as pip reads them; and, where a key was there, `manifest.sig`: the public key and its Ed25519
signature over `muniment-bundle/1`, a newline and the manifest's bytes.
"""

from __future__ import annotations

import base64
import json
import lzma
import struct
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
from packaging.requirements import Requirement

from muniment.config import normalised
from muniment.installing.environment import CORE
from muniment.installing.errors import BundleError, ConflictError, TamperedBundleError
from muniment.installing.locks import Pin, lines
from muniment.installing.preflight import Present, fits, requirements
from muniment.installing.resolver import InstallPlan
from muniment.installing.wheels import Wheel
from muniment.ledger.canonical import canonical
from muniment.ledger.keys import KeyFormatError, PrivateKey, PublicKey, strict_base64

FORMAT = "muniment-bundle/1"
SUFFIX = ".bundle"
MANIFEST, SIGNATURE, LOCK = "manifest.json", "manifest.sig", "plugins.lock"
_LIMIT = 2**20  # bytes that a manifest or a signature may have
_CHUNK = 2**20
_DAMAGE = (  # what reading an archive raises where any byte of it may be another
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
    """A bundle that was read and is whole; `key` signed it, or nobody did."""

    path: Path
    plugins: tuple[str, ...]
    wheels: tuple[_Listed, ...]
    key: PublicKey | None

    @property
    def signer(self) -> str | None:
        """The fingerprint of the key that signed it."""
        return None if self.key is None else fingerprint(self.key)


def fingerprint(key: PublicKey) -> str:
    """Return the SHA-256 of a public key's 32 bytes, in hexadecimal."""
    return sha256(key.key).hexdigest()


def is_bundle(path: Path) -> bool:
    """Whether a file is meant to be a bundle, by its name or by what is in it."""
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
    path: Path, plugins: Collection[str], wheels: Iterable[Wheel], key: PrivateKey | None
) -> None:
    """Write a bundle of wheels, of which those of the normalised names `plugins` were asked for."""
    held = sorted(wheels, key=lambda wheel: wheel.key)
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
                for wheel in held
            ],
        }
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(MANIFEST, manifest)
        if key is not None:
            signature = base64.b64encode(key.sign(_signed(manifest))).decode()
            archive.writestr(
                SIGNATURE, json.dumps({"key": str(key.public), "signature": signature})
            )
        archive.writestr(LOCK, _lock(held))
        for wheel in held:
            archive.write(wheel.path, f"wheels/{wheel.path.name}")


def read(path: Path, required: PublicKey | None = None) -> Bundle:
    """Read a bundle and check its signature, if it has one; its wheels are checked by `extract`.

    Raises TamperedBundleError where it is damaged, holds what its manifest does not name, or where
    the signature does not hold or is not by the key `required`; BundleError for what is no file, or
    of another form.
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
        held = msgspec.json.decode(manifest, type=_Manifest)
    except _DAMAGE:
        raise TamperedBundleError(path, "is damaged, or no bundle at all; get it again") from None
    key = None if signature is None else _verified(path, manifest, signature)
    if required is not None and (key is None or key.key != required.key):
        by = "unsigned" if key is None else f"signed by {key}"
        raise TamperedBundleError(path, f"is {by}, and not signed by {required}")
    if held.format != FORMAT:
        raise BundleError(path, f"is of the form {held.format!r}, and this Muniment reads {FORMAT}")
    if any(not _plain(wheel.file) for wheel in held.wheels):
        raise BundleError(path, "names a wheel that cannot be the name of a file")
    own = [MANIFEST, LOCK] if signature is None else [MANIFEST, SIGNATURE, LOCK]
    named = sorted([*own, *(f"wheels/{wheel.file}" for wheel in held.wheels)])
    if names != named or lock != _lock(held.wheels).encode():
        raise TamperedBundleError(path, "was altered: it holds other than its manifest names")
    return Bundle(path, tuple(held.plugins), tuple(held.wheels), key)


def extract(bundle: Bundle, into: Path) -> list[Wheel]:
    """Put the wheels of a bundle into a folder, each checked against the manifest."""
    found = []
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
                bundle.path, f"has no {listed.file} that can be read, which its manifest names"
            ) from None
        if hashed.hexdigest() != listed.sha256:
            raise TamperedBundleError(
                bundle.path, f"was altered: {listed.file} is not the one that its manifest names"
            )
        wheel = Wheel.read(target)
        if (wheel.name, wheel.version) != (listed.name, listed.version):
            raise TamperedBundleError(
                bundle.path, f"was altered: {listed.file} is not {listed.name} {listed.version}"
            )
        found.append(wheel)
    return found


def pick(
    bundle: Bundle,
    wheels: Iterable[Wheel],
    present: Present,
    own: Callable[[set[str]], set[str]] = lambda keys: set(),
) -> InstallPlan:
    """Return what of a bundle is to be installed: its plugins, and of the rest what is missing.

    What is the plugins' `own` (by normalised names) is replaced where it has to be.
    """
    offered = {wheel.key: wheel for wheel in wheels}
    targets = {normalised(name) for name in bundle.plugins}
    if missing := targets - set(offered):
        raise TamperedBundleError(bundle.path, f"has no wheel of {', '.join(sorted(missing))}")
    chosen = {key: offered[key] for key in sorted(targets)}
    waiting = list(chosen.values())
    free = own(targets)
    while waiting:
        wheel = waiting.pop()
        for needed in requirements(wheel.requires):
            key = normalised(needed.name)
            if key in chosen or (
                key in present and (key not in free or fits(needed.specifier, present[key].version))
            ):
                continue  # whether that fits is checked with the rest
            if key not in offered or not fits(needed.specifier, offered[key].version):
                raise ConflictError(
                    wheel.name,
                    f"{wheel.name} {wheel.version} needs {needed.name}{needed.specifier}, which is "
                    f"neither here nor in {bundle.path}",
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


def closure(
    names: Iterable[str],
    wheels: Mapping[str, Wheel],
    present: Present,
    extras: Mapping[str, Collection[str]],
) -> set[str]:
    """Return the normalised names of distributions and all they need, but for Muniment and what
    that needs itself.

    `wheels` are those that are not installed, or are to take the place of what is.
    """
    return _closure(names, wheels, present, extras) - needed_by_core(present)


def needed_by_core(present: Present) -> set[str]:
    """Return the normalised names of Muniment and of all that it needs itself."""
    return _closure([CORE], {}, present, {})


def _closure(
    names: Iterable[str],
    wheels: Mapping[str, Wheel],
    present: Present,
    extras: Mapping[str, Collection[str]],
) -> set[str]:
    found: set[str] = set()
    waiting: list[tuple[str, Collection[str]]] = [(name, extras.get(name, ())) for name in names]
    seen: set[tuple[str, tuple[str, ...]]] = set()
    while waiting:
        name, wanted = waiting.pop()
        if (mark := (name, tuple(sorted(wanted)))) in seen:
            continue
        seen.add(mark)
        if name in wheels:
            needs: Iterable[str] | None = wheels[name].requires
        elif name in present:
            needs = present[name].requires
        else:
            continue  # not there, so an extra that nobody asked for
        found.add(name)
        if name == CORE and CORE not in names:
            continue
        needed: Requirement
        for needed in requirements(needs, wanted):
            waiting.append((normalised(needed.name), needed.extras))
    return found


def _lock(wheels: Iterable[Wheel | _Listed]) -> str:
    return lines(Pin(wheel.name, wheel.version, (wheel.sha256,)) for wheel in wheels)


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    if archive.getinfo(name).file_size > _LIMIT:
        raise ValueError("too large")
    return archive.read(name)


def _verified(path: Path, manifest: bytes, signature: bytes) -> PublicKey:
    """Return the key that signed a manifest; raises TamperedBundleError where none did."""
    try:
        held: Any = json.loads(signature)
        key = PublicKey.parse(held["key"])
        good = key.verify(strict_base64(held["signature"]), _signed(manifest))
    except (KeyFormatError, ValueError, KeyError, TypeError, AttributeError):
        good = False
    if not good:
        raise TamperedBundleError(
            path, "was altered: its signature is not one of what it holds; get it again"
        )
    return key


def _signed(manifest: bytes) -> bytes:
    """Return what is signed; the same key signs checkpoints, and no checkpoint begins so."""
    return FORMAT.encode() + b"\n" + manifest


def _plain(name: str) -> bool:
    return name.endswith(".whl") and not set(name) & set("/\\:\0") and not name.startswith(".")
