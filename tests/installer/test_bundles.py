"""Bundles and locks: plugins taken elsewhere, whole, and with every hash held to."""

from __future__ import annotations

import json
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from muniment.errors import UsageError
from muniment.ledger.keys import PrivateKey
from muniment_installer import bundle_format, locks
from muniment_installer.errors import TamperedBundleError
from muniment_installer.wheels import Wheel
from support.environments import Fresh, on_both, others

LEFTPAD = {"source": "def pad(text): return ' ' + text", "group": ""}


def rewritten(bundle: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """Return a copy of a bundle whose members were changed."""
    with zipfile.ZipFile(bundle) as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    change(held)
    target = bundle.with_name("changed.bundle")
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in held.items():
            archive.writestr(name, content)
    return target


def other_wheel(held: dict[str, bytes]) -> None:
    (name,) = (name for name in held if name.startswith("wheels/muniment_one"))
    held[name] = held[name][:-30] + bytes(30)


def other_manifest(held: dict[str, bytes]) -> None:
    held["manifest.json"] = held["manifest.json"].replace(b"muniment-one", b"muniment-two")


def no_wheel(held: dict[str, bytes]) -> None:
    held.pop(next(name for name in held if name.startswith("wheels/leftpad")))


def no_signature(held: dict[str, bytes]) -> None:
    held.pop("manifest.sig")


def own_hash(held: dict[str, bytes]) -> None:
    """What someone without the key could do at most: a wheel of theirs, and its hash."""
    import hashlib

    manifest = json.loads(held["manifest.json"])
    (one,) = (wheel for wheel in manifest["wheels"] if wheel["name"] == "muniment-one")
    content = held[f"wheels/{one['file']}"] + b"\0"
    held[f"wheels/{one['file']}"] = content
    one["sha256"] = hashlib.sha256(content).hexdigest()
    held["manifest.json"] = json.dumps(manifest, separators=(",", ":"), sort_keys=True).encode()


def upwards(held: dict[str, bytes]) -> None:
    held.pop("manifest.sig")
    held["manifest.json"] = held["manifest.json"].replace(b'"file":"leftpad', b'"file":"../leftpad')


@on_both
def test_a_bundle_is_all_that_is_needed_and_says_who_signed_it(
    fresh: Fresh, another: Any, wheel_folder: Any, tmp_path: Path
) -> None:
    leftpad = wheel_folder("leftpad", **LEFTPAD)
    one = wheel_folder("muniment-one", generator="one", needs=["leftpad", "click"])
    fresh.environment["PIP_FIND_LINKS"] = str(leftpad.parent)
    bundle = tmp_path / "one.bundle"
    (tmp_path / "maker.pub").write_text(fresh("keys", "generate").out)
    (made,) = fresh("plugins", "bundle", one, "-o", bundle, "--json").json("plugin_bundle")
    assert [wheel["name"] for wheel in made["wheels"]] == ["leftpad", "muniment-one"]
    assert made["plugins"] == ["muniment-one"]
    assert "muniment-one" not in fresh.installed()
    assert fresh("plugins", "bundle", one, "-o", bundle).code == 2  # it is there already

    there = another()  # no index, and nowhere to look
    files = there.files()
    for change, code in (
        (other_wheel, 4),
        (other_manifest, 4),
        (no_wheel, 4),
        (own_hash, 4),
        (upwards, 2),
    ):
        refused = there("plugins", "install", rewritten(bundle, change))
        assert (refused.code, refused.out) == (code, ""), change
        assert there.files() == files, change
    stripped = rewritten(bundle, no_signature)
    key = ("--key", tmp_path / "maker.pub")
    refused = there("plugins", "install", stripped, *key)
    assert refused.code == 4
    assert "is unsigned, and not signed by" in refused.err
    assert there.files() == files

    (change,) = there("plugins", "install", bundle, *key, "--json").json("plugin_change")
    assert (change["signer"], change["installed_with"]) == (made["signer"], ["leftpad"])
    assert there("generate", "one", "x").out == "1.0: x\n"
    (entry,) = there.entries("installation")
    assert entry["signer"] == made["signer"]
    assert others(there("plugins", "list", "--json").json("plugin"))[0]["signer"] == made["signer"]
    assert f"signed by {made['signer']}" in there("plugins", "show", "muniment-one").out

    unsigned = another()
    result = unsigned("plugins", "install", stripped)
    assert result.out == "installed muniment-one 1.0  unsigned\n"
    assert unsigned.entries("installation")[0]["signer"] is None

    again = tmp_path / "again.bundle"  # of what is installed, without an index
    assert there("plugins", "bundle", "muniment-one", "-o", again).code == 0
    third = another()
    assert third("plugins", "install", again).code == 0
    assert third("generate", "one", "x").out == "1.0: x\n"
    conflict = another()
    conflict.pip("install", "--no-deps", wheel_folder("leftpad", version="0.5", **LEFTPAD))
    needs = wheel_folder("muniment-new", generator="new", needs=["leftpad>=1"])
    assert fresh("plugins", "bundle", needs, "-o", tmp_path / "new.bundle").code == 0
    refused = conflict("plugins", "install", tmp_path / "new.bundle")
    assert refused.code == 1
    assert "needs leftpad>=1, but leftpad 0.5 is installed here and stays" in refused.err


@on_both
def test_what_went_with_an_environment_comes_back(
    fresh: Fresh, another: Any, wheel_folder: Any, tmp_path: Path
) -> None:
    leftpad = wheel_folder("leftpad", **LEFTPAD)
    one = wheel_folder("muniment-one", generator="one", needs=["leftpad"])
    fresh.environment["PIP_FIND_LINKS"] = str(leftpad.parent)
    assert fresh("plugins", "install", one).code == 0
    lock = tmp_path / "plugins.lock"
    lock.write_text(fresh("plugins", "freeze").out)
    pins = fresh("plugins", "freeze", "--json").json("plugin_pin")
    assert [pin["name"] for pin in pins] == ["leftpad", "muniment-one"]

    fresh.renew()
    fresh.environment.clear()
    listed = fresh("plugins", "list")
    assert others(listed.rows) == []
    assert "muniment-one was installed here" in listed.err
    assert "`muniment plugins restore`" in listed.err
    missed = fresh("generate", "one", "x")
    assert missed.code == 2
    assert "muniment-one was installed here" in missed.err
    sick = fresh("plugins", "doctor")
    assert (sick.code, others(sick.rows)[0][2]) == (1, "gone")
    restored = fresh("plugins", "restore", "--json").json("plugin_change")
    assert [(done["act"], done["installed_with"]) for done in restored] == [
        ("installed", ["leftpad"])
    ]
    assert fresh("generate", "one", "x").out == "1.0: x\n"
    assert "nothing is missing" in fresh("plugins", "restore").err

    elsewhere = another()
    missing = elsewhere("plugins", "restore", lock)
    assert missing.code == 1
    folders = ("--from", one.parent, "--from", leftpad.parent)
    spoilt = tmp_path / "spoilt.lock"
    text = lock.read_text()
    spoilt.write_text(text.replace(pins[1]["sha256"][0], "0" * 64))
    files = elsewhere.files()
    refused = elsewhere("plugins", "restore", spoilt, *folders)
    assert refused.code == 1
    assert "hash" in refused.err.lower()
    assert elsewhere.files() == files
    assert elsewhere("plugins", "restore", lock, *folders).code == 0
    assert elsewhere("generate", "one", "x").out == "1.0: x\n"
    lock.write_text("muniment-one>=1\n")
    assert elsewhere("plugins", "restore", lock).code == 2


def test_a_bundle_replaces_an_installed_plugin_only_by_an_upgrade(
    fresh: Fresh, another: Any, wheel_folder: Any, tmp_path: Path
) -> None:
    (tmp_path / "maker.pub").write_text(fresh("keys", "generate").out)
    bundles = []
    for version in ("0.0.1", "2.0"):
        wheel = wheel_folder("muniment-one", generator="one", version=version)
        bundles.append(tmp_path / f"{version}.bundle")
        assert fresh("plugins", "bundle", wheel, "-o", bundles[-1]).code == 0
    there = another()
    assert there("plugins", "install", wheel_folder("muniment-one", generator="one")).code == 0
    for bundle in bundles:
        refused = there("plugins", "install", bundle)
        assert (refused.code, "`muniment plugins upgrade`" in refused.err) == (1, True)
    older, newer = bundles
    refused = there("plugins", "upgrade", older)
    assert (refused.code, "is older than the installed version" in refused.err) == (1, True)
    assert there("generate", "one", "x").out == "1.0: x\n"
    key = ("--key", tmp_path / "maker.pub")
    (change,) = there("plugins", "upgrade", newer, *key, "--json").json("plugin_change")
    assert (change["previous"], len(change["signer"])) == ("1.0", 64)


def test_a_lock_of_everything_omits_what_no_hash_can_pin(fresh: Fresh, wheel_folder: Any) -> None:
    one, two, three = (
        wheel_folder(f"muniment-{name}", generator=name) for name in ("one", "two", "three")
    )
    assert fresh("plugins", "install", one).code == 0
    fresh.pip("install", "--no-deps", two, three)
    (info,) = fresh.modules.glob("muniment_three-*.dist-info")
    sha256 = Wheel.read(three).sha256
    origin = {"url": three.as_uri(), "archive_info": {"hashes": {"sha256": sha256}}}
    (info / "direct_url.json").write_text(json.dumps(origin))
    frozen = fresh("plugins", "freeze", "--json")
    assert frozen.code == 1
    pins = {pin["name"]: pin["sha256"] for pin in frozen.json("plugin_pin")}
    assert pins == {"muniment-one": [Wheel.read(one).sha256], "muniment-three": [sha256]}
    (line,) = frozen.err.splitlines()
    assert "muniment-two==1.0" in line
    assert line.endswith("it is omitted")
    assert fresh("plugins", "freeze", "muniment-one").code == 0
    refused = fresh("plugins", "freeze", "muniment-two")
    assert (refused.code, refused.out, refused.err.count("\n")) == (1, "", 1)

    (info,) = fresh.modules.glob("muniment_two-*.dist-info")
    direct = {"url": fresh.folder.as_uri(), "dir_info": {"editable": True}}
    (info / "direct_url.json").write_text(json.dumps(direct))
    frozen = fresh("plugins", "freeze")
    assert (frozen.code, len(frozen.lines)) == (1, 3)
    assert "muniment-two is an editable install" in frozen.err

    fresh.environment["PIP_FIND_LINKS"] = str(two.parent)
    (info / "direct_url.json").unlink()
    assert (fresh("plugins", "freeze").code, fresh("plugins", "freeze").err) == (0, "")


def test_a_lock_is_read_as_it_is_written() -> None:
    pins = [locks.Pin("a.b", "1.0+cpu", ("0" * 64, "1" * 64)), locks.Pin("c", "2", ("a" * 64,))]
    text = "# a comment\n\n" + locks.lines(pins)
    assert locks.parse(text, "x") == pins
    assert locks.parse(text.replace(" --hash", " \\\n    --hash"), "x") == pins


@pytest.mark.parametrize(
    "line", ["a", "a==1", "a>=1 --hash=sha256:" + "0" * 64, "-r other", "a @ x"]
)
def test_a_line_that_pins_nothing_is_refused_by_its_number(line: str) -> None:
    with pytest.raises(UsageError, match=r"line 2 of x\.lock is not a pin"):
        locks.parse(f"\n{line}\n", "x.lock")


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A signed bundle of one small wheel."""
    wheel = tmp_path / "muniment_tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("muniment_tiny.py", "x = 1\n")
        archive.writestr(
            "muniment_tiny-1.0.dist-info/METADATA", "Name: muniment-tiny\nVersion: 1.0"
        )
    bundle = tmp_path / "small.bundle"
    bundle_format.write(bundle, ["muniment-tiny"], [Wheel.read(wheel)], PrivateKey.generate("x"))
    return bundle


def content(bundle: Path, into: Path) -> tuple[Any, ...]:
    """What would be installed of a bundle, and who signed it."""
    held = bundle_format.read(bundle)
    return held.plugins, held.signer, [wheel.sha256 for wheel in bundle_format.extract(held, into)]


def test_a_bundle_with_any_other_byte_is_refused_or_holds_the_same(
    small: Path, tmp_path: Path
) -> None:
    whole, expected = small.read_bytes(), content(small, tmp_path)
    changed = tmp_path / "changed.bundle"
    refused = 0
    draw = random.Random(7)
    for place, byte in enumerate(whole):
        other = bytes([byte ^ draw.randrange(1, 256)])
        changed.write_bytes(whole[:place] + other + whole[place + 1 :])
        try:
            assert content(changed, tmp_path) == expected, place
        except TamperedBundleError:
            refused += 1
    assert refused > len(whole) / 2


def test_a_bundle_cut_anywhere_is_refused(small: Path, tmp_path: Path) -> None:
    whole = small.read_bytes()
    cut = tmp_path / "cut.bundle"
    for length in range(len(whole)):
        cut.write_bytes(whole[:length])
        assert bundle_format.is_bundle(cut)
        with pytest.raises(TamperedBundleError):
            content(cut, tmp_path)


def test_a_bundle_that_holds_more_or_another_lock_is_refused(small: Path, tmp_path: Path) -> None:
    def more(held: dict[str, bytes]) -> None:
        held["wheels/more.whl"] = b""

    def other_lock(held: dict[str, bytes]) -> None:
        held["plugins.lock"] += b"\n"

    for change in (more, other_lock):
        with pytest.raises(TamperedBundleError, match="differ from its manifest"):
            bundle_format.read(rewritten(small, change))


def test_what_is_called_a_bundle_never_goes_to_pip(
    shared_environment: Fresh, tmp_path: Path, small: Path
) -> None:
    empty = tmp_path / "empty.bundle"
    empty.touch()
    spoilt = tmp_path / "spoilt.bundle"
    whole = small.read_bytes()
    spoilt.write_bytes(whole[:-40] + bytes(20) + whole[-20:])
    for command in ("install", "restore"):
        for path in (empty, spoilt):
            refused = shared_environment("plugins", command, path)
            assert (refused.code, refused.out) == (4, ""), (command, path)
            assert refused.err.count("\n") == 1
            assert "get it again" in refused.err
    nothing = shared_environment("plugins", "install", "nothing.bundle")
    assert (nothing.code, "nothing.bundle does not exist" in nothing.err) == (2, True)
    whole_one = shared_environment("plugins", "restore", small)
    assert (whole_one.code, "is a bundle, not a lock file" in whole_one.err) == (2, True)


def test_code_that_was_changed_after_installing_has_no_signer(
    fresh: Fresh, wheel_folder: Any, tmp_path: Path
) -> None:
    fresh("keys", "generate")
    bundle = tmp_path / "one.bundle"
    one = wheel_folder("muniment-one", generator="one")
    assert fresh("plugins", "bundle", one, "-o", bundle).code == 0
    assert fresh("plugins", "install", bundle).code == 0
    (before,) = others(fresh("plugins", "list", "--json").json("plugin"))
    assert (before["changed"], len(before["signer"])) == (False, 64)
    assert "changed since" not in fresh("plugins", "freeze").err

    with (fresh.modules / "muniment_one.py").open("a") as code:
        code.write("# other\n")
    (after,) = others(fresh("plugins", "list", "--json").json("plugin"))
    assert (after["changed"], after["signer"]) == (True, None)
    (shown,) = fresh("plugins", "show", "muniment-one", "--json").json("plugin_details")
    assert (shown["changed"], shown["signer"]) == (True, None)
    (health,) = others(fresh("plugins", "doctor", "--json").json("plugin_health"))
    assert health["changed"]
    said = fresh("plugins", "show", "muniment-one").out
    assert "changed since it was installed" in said.partition("history")[0]
    for command in ("doctor", "freeze"):
        assert "muniment-one was changed since it was installed" in fresh("plugins", command).err
