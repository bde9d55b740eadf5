"""Provenance in files: signatures, labels, private files, and requests of files from elsewhere."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import muniment as api
from muniment.provenance import (
    create_credentials,
    from_json,
    read_manifest,
    to_json,
    visible_label,
)
from support.commands import Here, Processes, Result
from support.media import DOTS, WAVES
from support.plugins import PluginFolder

LABELLED = DOTS.replace(
    "        scale: int",
    '        visible_label: Literal["", "zh", "en"] = muniment.param("", help="language")\n'
    "        scale: int",
).replace("import json\n", "import json\nfrom typing import Literal\n")
UNSIGNED = "not signed"


@pytest.fixture
def plugin_folder(plugin_folder: PluginFolder) -> PluginFolder:
    plugin_folder.add(WAVES, distribution="test-waves")
    plugin_folder.add(LABELLED, distribution="test-media")
    plugin_folder.generator("talk", "for r in requests: yield r.reply(Text(r.prompt))")
    return plugin_folder


@pytest.fixture
def certificate(muniment: Here, plugin_folder: PluginFolder, tmp_path: Path) -> Path:
    """The folder of the certificate that the settings name."""
    folder = tmp_path / "certificate"
    create_credentials(folder, name="Test")
    for setting, name in (
        ("certificate", "certificate.pem"),
        ("certificate_key", "certificate.key"),
    ):
        assert muniment("config", "set", setting, folder / name).code == 0
    return folder


def refused(result: Result, *words: str) -> None:
    assert (result.code, result.out) == (2, "")
    for word in words:
        assert word in result.err


def provenance_in(file: Path) -> api.Provenance:
    """Return the provenance in a file of dots."""
    [provenance] = from_json(file.read_bytes().partition(b"|")[2].decode())
    return provenance


# ---- signatures --------------------------------------------------------------------------------


def test_a_file_is_signed_with_the_certificate_of_the_settings(
    muniment: Here, certificate: Path, tmp_path: Path
) -> None:
    target = tmp_path / "a.wav"
    result = muniment("generate", "beeper", "红心", "--seed", "7", "-o", target)
    assert result.code == 0
    assert UNSIGNED not in result.err
    root = (certificate / "root.pem").read_bytes()
    manifest = read_manifest(target.read_bytes(), "audio/wav", [root])
    assert manifest is not None
    assert (manifest.state, manifest.issuer, manifest.codes) == ("Trusted", "Test", ())
    [recorded] = muniment("audit", "show", "last", "--json").json("generation")
    [signed] = from_json(manifest.provenance)
    assert (signed.id, signed.prompt) == (recorded["id"], "红心")
    assert muniment("audit", "find", target).code == 0
    assert muniment("audit", "get", "last", "-o", tmp_path / "b.wav").code == 0
    again = read_manifest((tmp_path / "b.wav").read_bytes(), "audio/wav")
    assert again is not None
    assert again.state == "Valid"


def test_an_input_with_a_manifest_becomes_the_parent(
    muniment: Here, certificate: Path, tmp_path: Path
) -> None:
    first, second, third = (tmp_path / f"{name}.wav" for name in "abc")
    muniment("generate", "beeper", "a secret", "-o", first)
    source = f"wave={first}"
    assert muniment("generate", "beeper", "b", "--input", source, "-o", second).code == 0
    manifest = read_manifest(second.read_bytes(), "audio/wav")
    assert manifest is not None
    assert [item.relationship for item in manifest.ingredients] == ["parentOf"]
    private = muniment("generate", "beeper", "b", "--input", source, "-o", third, "--private")
    assert private.code == 0
    manifest = read_manifest(third.read_bytes(), "audio/wav")
    assert manifest is not None
    assert manifest.ingredients == ()
    assert b"a secret" not in third.read_bytes()


def test_an_input_whose_manifest_is_damaged_is_left_out_of_the_signature(
    muniment: Here, certificate: Path, tmp_path: Path
) -> None:
    first, second, third = (tmp_path / f"{name}.wav" for name in "abc")
    muniment("generate", "beeper", "a", "-o", first)
    muniment("generate", "beeper", "b", "--input", f"wave={first}", "-o", second)
    data = bytearray(second.read_bytes())
    data[data.index(b"urn:c2pa:") + 10] ^= 1  # the label of the manifest of the first file
    second.write_bytes(data)
    result = muniment("generate", "beeper", "c", "--input", f"wave={second}", "-o", third)
    assert result.code == 0
    assert "does not name its inputs" in result.err
    manifest = read_manifest(third.read_bytes(), "audio/wav")
    assert manifest is not None
    assert (manifest.state, manifest.ingredients) == ("Valid", ())


def test_without_a_certificate_one_notice_says_that_files_are_not_signed(
    muniment: Here, plugin_folder: PluginFolder, tmp_path: Path
) -> None:
    result = muniment("generate", "beeper", "a", "-n", "3", "-o", tmp_path / "a.wav")
    assert (result.code, result.err.count(UNSIGNED)) == (0, 1)
    assert [UNSIGNED in line for line in result.err.splitlines() if "no producer" in line] == [True]
    assert len(list(tmp_path.glob("a-*.wav"))) == 3
    for arguments in (["dotter", "a", "-o", tmp_path / "a.dots"], ["talk", "a"]):
        assert UNSIGNED not in muniment("generate", *arguments).err
    assert UNSIGNED not in muniment("generate", "beeper", "a", "--json").err
    assert UNSIGNED not in muniment("generate", "beeper", "a", "--bare").err


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        ("no key setting", "certificate_key"),
        ("no key file", "cannot read"),
        ("no certificate", "certificate.pem"),
        ("another key", "does not belong"),
        ("no library", "pip install 'muniment[c2pa]'"),
    ],
)
def test_a_certificate_that_cannot_sign_is_an_error_before_anything_is_generated(
    muniment: Here,
    certificate: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    problem: str,
    words: str,
) -> None:
    if problem == "no key setting":
        muniment("config", "unset", "certificate_key")
    elif problem == "no key file":
        (certificate / "certificate.key").unlink()
    elif problem == "no certificate":
        (certificate / "certificate.pem").write_text("none")
    elif problem == "another key":
        create_credentials(tmp_path / "other", name="Other")
        muniment("config", "set", "certificate_key", tmp_path / "other" / "certificate.key")
    else:
        monkeypatch.setitem(sys.modules, "c2pa", None)
    target = tmp_path / "a.wav"
    result = muniment("generate", "beeper", "a", "-o", target)
    assert (result.code, result.out) == (1, "")
    assert words in result.err
    assert result.err.count("\n") == 1
    assert not target.exists()
    assert muniment("audit", "list").code == 2
    assert muniment("generate", "beeper", "a", "--bare", "-o", target).code == 0
    assert muniment("generate", "talk", "a").out == "a\n"


@pytest.mark.parametrize(
    ("body", "code", "reason"),
    [
        # Not a WAV, so that the library cannot sign it.
        ("data + b'|' + to_json([provenance]).encode()", 1, "cannot be signed"),
        ("fail()", 2, "no such scale"),
    ],
)
def test_each_generation_is_reported_if_no_file_can_be_made(
    muniment: Here,
    plugin_folder: PluginFolder,
    certificate: Path,
    tmp_path: Path,
    body: str,
    code: int,
    reason: str,
) -> None:
    failing = f"""
def fail():
    raise muniment.ParameterError("scale", "no such scale")

DotsType.export = lambda self, data, provenance, suffix, options: {body}
DotsType.suffixes = (".wav",)

class Dotter("""
    plugin_folder.all.clear()
    plugin_folder.add(DOTS.replace("class Dotter(", failing), distribution="bad-dots")
    result = muniment("generate", "dotter", "a", "-n", "2", "-o", tmp_path / "a.wav")
    assert result.code == code
    assert result.err.count(reason) == 2
    ids = [item["id"] for item in muniment("audit", "list", "--json").json("generation")]
    assert len(ids) == 2
    for id in ids:
        assert f"muniment audit get {id} --bare -o FILE" in result.err
    assert not list(tmp_path.glob("*.wav"))


def test_the_hint_that_saves_an_output_names_a_command_that_works(
    muniment: Here, processes: Processes, plugin_folder: PluginFolder, tmp_path: Path
) -> None:
    plugin_folder.generator(
        "raw",
        "for r in requests: yield r.reply(Output('image/x-raw', b'\\xffRAW'))",
        media_type="image/x-raw",
    )
    for generator, bare, suffix in (("raw", True, ".raw"), ("dotter", False, ".dots")):
        generated = processes.on_terminal("generate", generator, "x").err
        shown = muniment("audit", "show", "last").err
        for place, text in enumerate((generated, shown)):
            [command] = re.findall(r"run `muniment (audit get [^`]+) -o FILE`", text)
            assert ("--bare" in command) == bare
            words = command.replace("…", "").split()
            assert muniment(*words, "-o", tmp_path / f"{place}{suffix}").code == 0, command


def test_the_settings_of_files_are_checked(muniment: Here, tmp_path: Path) -> None:
    refused(muniment("config", "set", "certificate", tmp_path / "none.pem"), "none.pem")
    create_credentials(tmp_path, name="Test")
    certificate, key, root = (
        tmp_path / name for name in ("certificate.pem", "certificate.key", "root.pem")
    )
    (tmp_path / "text").write_text("text")
    refused(muniment("config", "set", "certificate", key), "not a certificate in PEM")
    refused(muniment("config", "set", "certificate", root), "self-signed")
    refused(muniment("config", "set", "certificate_key", certificate), "not a private key in PEM")
    refused(muniment("config", "set", "trusted_root", tmp_path / "text"), "not a certificate")
    key.chmod(0o644)
    refused(muniment("config", "set", "certificate_key", key), "chmod 600")
    assert muniment("config", "list", "--json").out.count("certificate") == 0
    assert muniment("config", "set", "trusted_root", root).code == 0
    for code in ("a b", 'a"', "a\\", "中", "a" * 129):
        refused(muniment("config", "set", "producer", code), "producer")
    assert muniment("config", "set", "producer", "001191110102MAD55U9H0F10002").code == 0


def test_no_output_replaces_the_certificate(muniment: Here, certificate: Path) -> None:
    key = certificate / "certificate.key"
    before = key.read_bytes()
    refused(muniment("generate", "talk", "a", "-o", key, "--overwrite"), "certificate.key")
    assert key.read_bytes() == before


# ---- private files and the producer ------------------------------------------------------------


def test_a_private_file_has_neither_prompt_nor_parameters(
    muniment: Here, certificate: Path, tmp_path: Path
) -> None:
    target = tmp_path / "a.wav"
    arguments = ("generate", "beeper", "a secret", "--length", "123", "--private")
    assert muniment(*arguments, "-o", target).code == 0
    assert muniment("audit", "get", "last", "--private", "-o", tmp_path / "b.wav").code == 0
    for file in (target, tmp_path / "b.wav"):
        data = file.read_bytes()
        assert b"secret" not in data
        assert b'"length"' not in data
        assert b'"prompt"' not in data
        assert muniment("audit", "find", file).code == 0
    [recorded] = muniment("audit", "show", "last", "--json").json("generation")
    assert (recorded["prompt"], recorded["parameters"]) == ("a secret", {"length": 123})


def test_a_private_combined_file_has_no_prompt(
    muniment: Here, plugin_folder: PluginFolder, tmp_path: Path
) -> None:
    target = tmp_path / "a.json"
    arguments = ("generate", "dotter", "a secret", "-n", "2", "--combine", "--private")
    assert muniment(*arguments, "-o", target).code == 0
    assert [item.prompt for item in from_json(json.loads(target.read_text())["from"])] == ["", ""]


def test_the_code_of_the_producer_is_in_files(
    muniment: Here, plugin_folder: PluginFolder, tmp_path: Path
) -> None:
    muniment("config", "set", "producer", "001A")
    assert muniment("generate", "dotter", "a", "-o", tmp_path / "a.dots").code == 0
    assert provenance_in(tmp_path / "a.dots").producer == "001A"


def test_private_needs_a_file_with_provenance(
    muniment: Here, plugin_folder: PluginFolder, tmp_path: Path
) -> None:
    for name in ("dotter", "talk"):
        result = muniment("generate", name, "a", "--private", "--json")
        refused(result, "--private", "--json", "-o FILE")
    assert muniment("audit", "list").code == 2


def test_recorded_bytes_are_private_in_any_case(
    muniment: Here, plugin_folder: PluginFolder, tmp_path: Path
) -> None:
    assert muniment("generate", "talk", "a", "--private").out == "a\n"
    assert muniment("generate", "talk", "a", "--private", "-o", tmp_path / "a.txt").code == 0
    assert (tmp_path / "a.txt").read_text() == "a"
    bare = tmp_path / "a.dots"
    assert muniment("generate", "dotter", "a", "--private", "--bare", "-o", bare).code == 0
    assert b"|" not in bare.read_bytes()


def test_a_prompt_that_a_format_has_no_room_for_is_reported_and_the_file_is_saved(
    muniment: Here, plugin_folder: PluginFolder, tmp_path: Path
) -> None:
    short = "import dataclasses\n        short = dataclasses.replace(provenance, prompt='')\n"
    source = DOTS.replace(
        '            return data + b"|" + to_json([provenance])',
        f"            {short.replace('        short', '            short')}"
        '            return data + b"|" + to_json([short])',
    )
    plugin_folder.all.clear()
    plugin_folder.add(source, distribution="short-media")
    result = muniment("generate", "dotter", "a", "-o", tmp_path / "a.dots")
    assert result.code == 0
    assert "too long for .dots files" in result.err
    assert provenance_in(tmp_path / "a.dots").prompt == ""


# ---- visible labels ----------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["zh", "en"])
def test_a_text_gets_a_line_with_the_label(
    muniment: Here, plugin_folder: PluginFolder, tmp_path: Path, language: str
) -> None:
    label = visible_label("zh" if language == "zh" else "en")
    option = ("--visible-label", language)
    assert muniment("generate", "talk", "hello", *option).out == f"hello\n{label}\n"
    assert muniment("generate", "talk", "hello", *option, "-n", "2").out.count(label) == 2
    target = tmp_path / "a.txt"
    assert muniment("generate", "talk", "hello\n", *option, "-o", target).code == 0
    assert target.read_text() == f"hello\n{label}\n"
    assert muniment("audit", "get", "last", *option).out == f"hello\n{label}\n"
    assert muniment("audit", "get", "last").out == "hello\n"
    assert muniment("audit", "get", "last", *option, "-o", tmp_path / "b.txt").code == 0
    assert (tmp_path / "b.txt").read_text() == target.read_text()
    written = muniment("generate", "talk", "hello", *option, "--json", "-o", tmp_path / "c.txt")
    assert written.json("generation")[0]["outputs"][0]["text"] == "hello"
    assert (tmp_path / "c.txt").read_text() == target.read_text()


def test_a_text_with_a_label_is_found(
    muniment: Here, plugin_folder: PluginFolder, tmp_path: Path
) -> None:
    file = tmp_path / "a.txt"
    for prompt, end in (("hello", ""), ("goodbye", "\n")):
        for language in ("zh", "en"):
            prompt += f" {language}{end}"
            arguments = ("talk", prompt, "--visible-label", language, "-o", file, "--overwrite")
            [made] = muniment("generate", *arguments, "--json").json("generation")
            for text in (file.read_text(), file.read_text().removesuffix("\n")):
                file.write_text(text)
                found = muniment("audit", "find", file)
                assert found.code == 0
                assert made["id"] in found.out
                assert "visible label" in found.out
    for text in ("hello", f"hello {visible_label('en')}", visible_label("en")):
        file.write_text(text + " ")
        assert muniment("audit", "find", file).code == 1


def test_a_terminal_shows_the_label_after_a_streamed_text(
    processes: Processes, plugin_folder: PluginFolder
) -> None:
    plugin_folder.generator(
        "slow",
        """
        for r in requests:
            yield r.chunk("one ")
            yield r.reply(Text("one two"))
        """,
    )
    arguments = ("generate", "slow", "a", "--visible-label", "en")
    for stream in ("--stream", "--no-stream"):
        shown = processes.on_terminal(*arguments, stream)
        assert f"one two\n{visible_label('en')}\n" in shown.out
    shown = processes.on_terminal("audit", "get", "last", "--visible-label", "en")
    assert f"one two\n{visible_label('en')}\n" in shown.out
    shown = processes.on_terminal("generate", "dotter", "a", "--visible-label", "en")
    assert (shown.code, "-o FILE" in shown.out) == (2, True)
    shown = processes.on_terminal("generate", "dotter", "a", "--private")
    assert (shown.code, "--private" in shown.out) == (2, True)


def test_a_media_type_gets_the_label_as_an_option_of_the_file(
    muniment: Here, plugin_folder: PluginFolder, tmp_path: Path
) -> None:
    plugin_folder.all.clear()
    source = LABELLED.replace('"scale": options.scale', '"label": options.visible_label')
    plugin_folder.add(source, distribution="label-media")
    for command in (["generate", "dotter", "a"], ["audit", "get", "last"]):
        target = tmp_path / f"{command[0]}.json"
        assert muniment(*command, "--visible-label", "zh", "-o", target).code == 0
        assert json.loads(target.read_text())["label"] == "zh"
        refused(muniment(*command, "--visible-label", "fr", "-o", target), "--visible-label")
    assert muniment("generate", "dotter", "--help").out.count("--visible-label [") == 1
    assert muniment("audit", "get", "--help").out.count("--visible-label [") == 1


def test_an_option_that_alters_the_content_needs_no_fingerprint(
    muniment: Here, plugin_folder: PluginFolder, tmp_path: Path
) -> None:
    altered = LABELLED.replace(
        '"dots": list(data[4:])', '"dots": list(data[4:]) + [1] * bool(options.visible_label)'
    )
    target = tmp_path / "a.json"
    for declared, code in (("()", 1), ('("visible_label",)', 0)):
        plugin_folder.all.clear()
        attribute = f"    altering_options = {declared}\n\n    class Export("
        plugin_folder.add(altered.replace("    class Export(", attribute))
        result = muniment("generate", "dotter", "a", "--visible-label", "en", "-o", target)
        assert (result.code, target.exists()) == (code, code == 0)
    assert muniment("generate", "dotter", "a", "-o", tmp_path / "b.json").code == 0
    plugin_folder.all.clear()
    wrong = '    altering_options = ("size",)\n\n    class Export('
    plugin_folder.add(altered.replace("    class Export(", wrong))
    refusal = muniment("generate", "dotter", "a", "-o", tmp_path / "c.json")
    assert refusal.code == 2
    assert "altering_options" in refusal.err


def test_an_option_that_a_format_does_not_have_is_refused_before_anything_is_generated(
    muniment: Here, plugin_folder: PluginFolder, tmp_path: Path
) -> None:
    plugin_folder.all.clear()
    scaled = DOTS.replace("ge=1, le=9,", "ge=1, le=9, suffixes=('.json',),")
    plugin_folder.add(scaled)
    for isolated in ([], ["--isolate"]):
        arguments = ("generate", "dotter", "a", *isolated, "--scale")
        refused(muniment(*arguments, "2", "-o", tmp_path / "a.dots"), "--scale", ".json")
        assert muniment("audit", "list").code == 2
    for value, suffix in (("2", ".json"), ("1", ".dots")):
        assert muniment(*arguments, value, "-o", tmp_path / f"a{suffix}").code == 0
    refused(muniment("audit", "get", "last", "--scale", "2"), "--scale", ".json")
    plugin_folder.all.clear()
    plugin_folder.add(scaled.replace("('.json',)", "('.png',)"))
    refused(muniment("generate", "dotter", "a", "-o", tmp_path / "c.json"), "suffixes")


def test_a_label_is_refused_where_it_cannot_stand(
    muniment: Here, plugin_folder: PluginFolder, tmp_path: Path
) -> None:
    option = ("--visible-label", "zh")
    for name, media_type in (("table", "text/csv"), ("facts", "application/json")):
        plugin_folder.generator(
            name,
            f"for r in requests: yield r.reply(Output({media_type!r}, b'[1]'))",
            media_type=media_type,
        )
        refused(muniment("generate", name, "a", *option), media_type)
    refused(muniment("generate", "talk", "a", *option, "--json"), "--json", "-o FILE")
    refused(muniment("generate", "talk", "a", *option, "--bare"), "remove --bare")
    for suffix, kind in ((".json", "application/json"), (".csv", "text/csv"), (".html", "html")):
        refused(muniment("generate", "talk", "a", *option, "-o", tmp_path / f"a{suffix}"), kind)
    refused(muniment("generate", "beeper", "a", *option, "-o", tmp_path / "a.wav"), "test-waves")
    assert muniment("audit", "list").code == 2
    muniment("generate", "talk", "a")
    refused(muniment("audit", "get", "last", "--input", "x", *option), "--visible-label")


# ---- files of another store --------------------------------------------------------------------


def in_other_home(tmp_path: Path) -> list[str]:
    """Return the beginning of a command that generates with another home."""
    return ["--home", str(tmp_path / "other"), "generate"]


@pytest.fixture
def elsewhere(muniment: Here, plugin_folder: PluginFolder, tmp_path: Path) -> Path:
    """A file that was generated with another home."""
    target = tmp_path / "elsewhere.wav"
    arguments = (
        "beeper",
        "红心",
        "--seed",
        "77",
        "--length",
        "9",
        "--policy",
        "none",
        "-o",
        target,
    )
    assert muniment(*in_other_home(tmp_path), *arguments).code == 0
    return target


def with_facts(file: Path, **changes: object) -> None:
    """Replace facts in a file of the media type wave."""
    data = file.read_bytes()
    start = data.index(b"muni") + 8
    [provenance] = from_json(data[start:].rstrip(b"\0").decode())
    text = to_json([replace(provenance, **changes)]).encode()  # type: ignore[arg-type]
    size = len(text).to_bytes(4, "little")
    file.write_bytes(data[: start - 4] + size + text + bytes(len(text) % 2))


@pytest.mark.parametrize("generator", [(), ("beeper",)])
@pytest.mark.parametrize("has_store", [True, False])
def test_the_request_of_a_file_from_elsewhere_is_repeated_without_a_parent(
    muniment: Here, elsewhere: Path, generator: tuple[str, ...], has_store: bool
) -> None:
    if has_store:
        muniment("generate", "talk", "a")
    result = muniment("generate", *generator, "--like", elsewhere, "--json")
    [value] = result.json("generation")
    assert (value["prompt"], value["seed"], value["parents"]) == ("红心", "77", [])
    assert value["parameters"] == {"length": 9}
    assert result.err.count("no parent") == 1
    changed = muniment(
        "generate", *generator, "--like", elsewhere, "b", "--length", "5", "--seed", "8", "--json"
    )
    [value] = changed.json("generation")
    if not has_store:  # the first repetition has the same content and is in this store
        assert value["parents"] != []
    assert (value["prompt"], value["seed"], value["parameters"]) == ("b", "8", {"length": 5})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"generator": "--help"}, "no generator named '--help'"),
        ({"generator": "unknown\x1b[2J"}, "unknown"),
        ({"prompt": ""}, "contains no prompt"),
        ({"parameters": {"length": 10**6}}, "length"),
        ({"parameters": {"width": 1}}, "width"),
        ({"prompt": "a\0b"}, "NUL"),
        ({"model": "big\x1b[2J", "model_digest": "tree1-sha256:12"}, "tree1-sha256:12"),
        ({"models": {"adapter": "tree1-sha256:34"}}, "adapter"),
        ({"models": {"length": "tree1-sha256:34"}}, "length"),
    ],
)
def test_a_file_from_elsewhere_that_cannot_be_repeated_is_one_sentence(
    muniment: Here, elsewhere: Path, changes: dict[str, object], words: str
) -> None:
    with_facts(elsewhere, **changes)
    result = muniment("generate", "--like", elsewhere)
    refused(result, words)
    assert "\x1b" not in result.err
    assert muniment("audit", "list").code == 2


def test_the_values_of_a_file_are_printed_before_they_are_used(
    muniment: Here, elsewhere: Path, tmp_path: Path
) -> None:
    with_facts(elsewhere, prompt="a\x1b[2J\nb")
    result = muniment("generate", "--like", elsewhere)
    assert result.code == 0
    for value in ('prompt="a\\u001b[2J\\nb"', "seed=77", "length=9"):
        assert value in result.err
    assert "\x1b" not in result.err
    assert "defaults" not in result.err
    with_facts(elsewhere, seed=78, parameters={})
    changed = muniment(*in_other_home(tmp_path / "a"), "--like", elsewhere, "b")
    assert "seed=78" in changed.err
    assert "prompt=" not in changed.err
    assert "the defaults apply: length" in changed.err
    assert "seed=7" not in muniment("generate", "--like", "last").err


def test_a_file_without_a_prompt_is_named_where_none_is_needed(
    muniment: Here, elsewhere: Path, plugin_folder: PluginFolder
) -> None:
    plugin_folder.all.clear()
    optional = "class Beeper(muniment.Generator):\n    prompt = 'optional'"
    plugin_folder.add(WAVES.replace("class Beeper(muniment.Generator):", optional))
    with_facts(elsewhere, prompt="")
    result = muniment("generate", "--like", elsewhere)
    assert result.code == 0
    assert "contains no prompt" in result.err


def test_the_request_of_another_generator_is_noted(
    muniment: Here, elsewhere: Path, tmp_path: Path
) -> None:
    result = muniment("generate", "talk", "--like", elsewhere)
    assert (result.code, result.out) == (0, "红心\n")
    assert "of generator beeper" in result.err
    assert "length" not in result.err
    repeated = muniment("generate", "beeper", "--like", "last", "-o", tmp_path / "a.wav")
    assert "of generator talk" in repeated.err
    assert "of generator" not in muniment("generate", "beeper", "--like", "last", "--bare").err


def test_a_file_with_an_invalid_request_is_named(muniment: Here, elsewhere: Path) -> None:
    data = elsewhere.read_bytes()
    elsewhere.write_bytes(data.replace(b'"seed": "77"', b'"seed": "7x"'))
    muniment("generate", "talk", "a")
    for command in (["generate", "--like"], ["audit", "find"]):
        result = muniment(*command, elsewhere)
        assert (result.code, result.out) == (1, "")
        assert "is invalid" in result.err
        assert "seed" in result.err
        assert result.err.count("\n") == 1


def test_a_combined_file_is_refused_with_its_ids(
    muniment: Here, plugin_folder: PluginFolder, tmp_path: Path
) -> None:
    target = tmp_path / "a.wav"
    arguments = ("generate", "beeper", "a", "-n", "2", "--combine", "-o", target)
    assert muniment(*arguments).code == 0
    ids = [row[0] for row in muniment("audit", "list").rows]
    for command in (["generate", "--like", target], ["audit", "find", target]):
        result = muniment(*command)
        assert (result.code, result.out) == (1, "")
        assert all(id in result.err for id in ids)


def test_a_file_without_provenance_is_not_repeated(
    muniment: Here, plugin_folder: PluginFolder, tmp_path: Path
) -> None:
    file = tmp_path / "a.wav"
    muniment(*in_other_home(tmp_path), "beeper", "a", "--policy", "none", "--bare", "-o", file)
    assert file.exists()
    result = muniment("generate", "--like", file)
    assert (result.code, result.out) == (2, "")


def test_a_program_repeats_the_request_of_a_file(elsewhere: Path, tmp_path: Path) -> None:
    with api.open(tmp_path / "third") as session:
        [provenance] = session.read_file(elsewhere)
        assert (provenance.prompt, provenance.seed) == ("红心", 77)
        spec = session.like(provenance, prompt="b")
        assert (spec.prompt, spec.seed, spec.parents) == ("b", 77, ())
        assert session.read_file(__file__) == ()
        with pytest.raises(api.UsageError, match="size"):
            session.like(provenance, size=3)
