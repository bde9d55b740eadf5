"""Media types of plugins: what they compute, and what happens without them or when they fail."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

import muniment
from muniment import Output
from muniment.errors import AmbiguousNameError, PluginError
from muniment.ids import new_id
from muniment.plugins.file_signer import SIGNED_TYPES
from muniment.plugins.media import MediaTypes
from muniment.provenance import can_sign, to_json
from support.media import DOTS, WAVES, media_type
from support.plugins import PluginFolder
from support.workspace import Workspace

ONE, OTHER = Output("application/x-dots", b"DOTSabc"), Output("application/x-dots", b"DOTSaxc")
NOTHING = {"describe": (ONE,), "preview": (ONE, 80), "compare": (ONE, OTHER)}


def media_of(folder: PluginFolder) -> tuple[MediaTypes, list[str]]:
    reports: list[str] = []
    return MediaTypes(folder.plugins(), reports.append), reports


def test_a_media_type_describes_compares_and_previews_its_outputs(
    plugin_folder: PluginFolder,
) -> None:
    plugin_folder.add(DOTS)
    media, reports = media_of(plugin_folder)
    assert media.describe(ONE) == "3 dots"
    assert "•••" in str(media.preview(ONE, 80))
    assert media.compare(ONE, OTHER) == muniment.Comparison(
        22.0, "largest difference of a dot", "dot 2"
    )
    assert media.with_fingerprint(ONE).fingerprint == sha256(b"abc").digest()
    assert [item.name for item in media.recognised(b"DOTS")] == ["dots"]
    assert media.recognised(b"else") == []
    assert reports == []


@pytest.mark.parametrize("method", NOTHING)
def test_a_type_without_a_plugin_or_a_method_has_nothing(
    plugin_folder: PluginFolder, method: str
) -> None:
    media, reports = media_of(plugin_folder)
    assert getattr(media, method)(*NOTHING[method]) is None
    plugin_folder.add(media_type("pass"))
    media, reports = media_of(plugin_folder)
    assert getattr(media, method)(*NOTHING[method]) is None
    assert media.with_fingerprint(ONE) == ONE
    assert media.recognised(b"DOTS") == []
    assert reports == []


@pytest.mark.parametrize(
    ("method", "body"),
    [
        ("describe", "def describe(self, data): raise ValueError('no')"),
        ("describe", "def describe(self, data): return data"),
        ("describe", "def describe(self, data): raise SystemExit(3)"),
        ("preview", "def preview(self, data, columns): return 5"),
        ("preview", "def preview(self, data): return ''"),
        ("compare", "def compare(self, recorded, again): return 5.0"),
        ("compare", "def compare(self, recorded, again): return Comparison(float('nan'), 'x')"),
        ("compare", "def compare(self, recorded, again): return Comparison('far', 'x')"),
        ("compare", "def compare(self, recorded, again): return Comparison(1, 2)"),
        ("fingerprint", "def fingerprint(self, data): return 'text'"),
        ("fingerprint", "def fingerprint(self, data): return 1 / 0"),
        ("fingerprint", "def fingerprint(self, data): return b''"),
        ("matches", "def matches(self, data): return 'yes'"),
    ],
)
def test_a_method_that_fails_is_reported_once_with_plugin_file_and_line(
    plugin_folder: PluginFolder, method: str, body: str
) -> None:
    plugin = plugin_folder.add(media_type(body), distribution="bad-dots")
    media, reports = media_of(plugin_folder)
    for _ in range(2):
        if method == "fingerprint":
            assert media.with_fingerprint(ONE) == ONE
        elif method == "matches":
            assert media.recognised(b"DOTS") == []
        else:
            assert getattr(media, method)(*NOTHING[method]) is None
    [report] = reports
    assert f"{method}() of media type 'dots' of bad-dots failed" in report
    if "raise" in body or "/ 0" in body:
        assert f"{plugin.module}/__init__.py:11" in report


def test_an_error_about_the_data_is_reported_as_its_sentence(plugin_folder: PluginFolder) -> None:
    body = "def fingerprint(self, data): raise muniment.MunimentError('the dots are damaged')"
    plugin_folder.add(media_type(body), distribution="test-dots")
    media, reports = media_of(plugin_folder)
    assert media.with_fingerprint(ONE) == ONE
    assert reports == ["media type dots of test-dots: the dots are damaged"]


def test_a_media_type_that_cannot_be_created_is_reported(plugin_folder: PluginFolder) -> None:
    plugin_folder.add(
        media_type("def __init__(self): raise OSError('gone')\ndef describe(self, data): return ''")
    )
    media, reports = media_of(plugin_folder)
    assert media.describe(ONE) is None
    assert "OSError: gone" in reports[0]


def test_without_a_report_a_failure_is_a_warning(plugin_folder: PluginFolder) -> None:
    plugin_folder.add(media_type("def describe(self, data): return 5"))
    with pytest.warns(muniment.PluginWarning, match="describe"):
        assert MediaTypes(plugin_folder.plugins()).describe(ONE) is None


def test_two_plugins_for_one_type_are_an_error_that_names_both(workspace: Workspace) -> None:
    workspace.plugin_folder.add(DOTS, distribution="first-dots")
    workspace.plugin_folder.add(media_type("pass", name="other"), distribution="second-dots")
    with pytest.raises(AmbiguousNameError) as caught:
        workspace.session.generate("x", generator="dotter")
    assert caught.value.candidates == ("first-dots", "second-dots")
    with pytest.raises(muniment.StoreError):
        assert workspace.session.store
    media, reports = media_of(workspace.plugin_folder)
    assert media.describe(ONE) is None
    assert "first-dots or second-dots" in reports[0]


@pytest.mark.parametrize(
    "media_types", ["()", "('text/plain',)", "('dots',)", "'image/png'", "('image/png; q=1',)"]
)
def test_a_media_type_must_declare_its_types(plugin_folder: PluginFolder, media_types: str) -> None:
    plugin_folder.add(media_type("pass", media_types))
    [failure] = plugin_folder.plugins().load()
    assert "media_types" in failure.message


@pytest.mark.parametrize("suffixes", ["('png',)", "('.',)", "('.a b',)", "5"])
def test_suffixes_must_be_endings_of_files(plugin_folder: PluginFolder, suffixes: str) -> None:
    plugin_folder.add(media_type(f"suffixes = {suffixes}"))
    [failure] = plugin_folder.plugins().load()
    assert "suffixes" in failure.message


def test_a_recorded_output_has_the_fingerprint_and_no_provenance(workspace: Workspace) -> None:
    workspace.plugin_folder.add(DOTS)
    done = workspace.session.generate("a b", generator="dotter", seed=7)
    assert done.outputs[0].data == b"DOTS\x07\x02\x32"
    assert done.outputs[0].fingerprint == sha256(b"\x07\x02\x32").digest()
    assert workspace.session.generation("last").outputs == done.outputs
    assert workspace.session.verify(projections=True, payloads=True, search=True).ok


def test_a_fingerprint_that_fails_loses_nothing_else(workspace: Workspace) -> None:
    workspace.plugin_folder.add(DOTS.replace("return bytes(dots)", "raise ValueError('no')"))
    with pytest.warns(muniment.PluginWarning, match="fingerprint"):
        done = workspace.session.generate("a b", generator="dotter", seed=7)
    assert (done.status, done.outputs[0].fingerprint) == ("completed", None)


def test_an_export_has_the_provenance_of_the_record(workspace: Workspace) -> None:
    workspace.plugin_folder.add(DOTS)
    done = workspace.session.generate("a b", generator="dotter", seed=7)
    media, output = workspace.session.media, done.outputs[0]
    [registered] = media.recognised(output.data)
    for suffix in (".dots", ".json"):
        file = media.export(done, output, suffix, {"scale": 2})
        assert [item.id for item in media.read_provenance(registered, file)] == [done.id]
        assert media.fingerprint(registered, file) == output.fingerprint
    with pytest.raises(muniment.ParameterError, match="scale"):
        media.export(done, output, ".dots", {"scale": 10})
    with pytest.raises(PluginError, match="no installed plugin writes"):
        media.export(done, Output("image/png", b""), ".png", {})


def test_the_provenance_of_a_generation_names_its_origin(workspace: Workspace) -> None:
    plugin = workspace.plugin_folder.add(DOTS, version="1.4")
    provenance = workspace.session.generate("a b", generator="dotter", seed=7).provenance
    assert (provenance.generator, provenance.prompt, provenance.seed) == ("dotter", "a b", 7)
    assert provenance.versions[plugin.distribution] == "1.4"
    assert "muniment" in provenance.versions


def test_the_provenance_of_a_generation_has_no_path(workspace: Workspace) -> None:
    workspace.plugin_folder.add(DOTS)
    done = replace(
        workspace.session.generate("a b", generator="dotter", seed=7),
        model=muniment.Model("/home/alice/m", "tree1-sha256:12", "/home/alice/m"),
        parameters={"adapter": "~/alice/a", "steps": 3},
        models={"adapter": muniment.Model("/home/alice/a", "tree1-sha256:34", "")},
    )
    provenance = done.provenance
    assert "alice" not in repr(provenance)
    assert (provenance.model, provenance.model_digest) == ("m", "tree1-sha256:12")
    assert provenance.parameters == {"steps": 3}
    assert provenance.models == {"adapter": "tree1-sha256:34"}


@pytest.mark.parametrize("kind", ["application/json", "application/geo+json; charset=utf-8"])
def test_json_is_text(workspace: Workspace, kind: str) -> None:
    workspace.plugin_folder.generator(
        "lists",
        f"for r in requests: yield r.reply(Output({kind!r}, b'[\"satellite\"]'))",
        media_type=kind,
    )
    done = workspace.session.generate("x", generator="lists")
    assert (done.text, done.outputs[0].text) == ('["satellite"]', '["satellite"]')
    assert done.to_json()["outputs"][0]["text"] == '["satellite"]'
    [hit] = workspace.session.search("satellite")
    assert hit.generation.id == done.id
    assert workspace.session.verify(projections=True, payloads=True, search=True).ok


def test_json_that_is_not_utf_8_has_no_text() -> None:
    assert Output("application/json", b"\xff").text is None
    assert Output("application/jsonx", b"[]").text is None


def test_a_generation_of_text_imports_nothing_of_media_types_and_inputs(
    workspace: Workspace,
) -> None:
    plugin = workspace.plugin_folder.generator(
        "echo", "for r in requests: yield r.reply(Text('hi'))"
    )
    program = (
        "import muniment, sys\n"
        "with muniment.open(sys.argv[1]) as session:\n"
        "    session.generate('x', generator='echo', policy='none')\n"
        "assert 'muniment.plugins.media' not in sys.modules\n"
        "assert 'c2pa' not in sys.modules\n"
        "assert 'muniment.provenance.certificates' not in sys.modules\n"
        "assert 'muniment.provenance.manifests' not in sys.modules\n"
        "assert 'muniment.generation.inputs' not in sys.modules\n"
        f"assert {plugin.module!r} in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(workspace.home)],
        env={"PYTHONPATH": str(workspace.plugin_folder.folder)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_a_file_is_found_in_python(workspace: Workspace, tmp_path: Path) -> None:
    workspace.plugin_folder.add(DOTS)
    session = workspace.session
    done = session.generate("a b", generator="dotter", seed=7)
    file = tmp_path / "file.dots"
    file.write_bytes(session.media.export(done, done.outputs[0], ".dots", {}))
    origin = session.find_file(file)
    assert (origin.id, origin.same_content, origin.stamp) == (done.id, True, done.id)
    with pytest.raises(muniment.UsageError, match="gone"):
        session.find_file(tmp_path / "gone")
    assert session.find_file(tmp_path / "gone", content=file.read_bytes()) == origin
    with pytest.raises(muniment.UsageError, match="gone is empty"):
        session.find_file(tmp_path / "gone", content=b"")
    file.write_text("another")
    with muniment.open(tmp_path / "empty") as empty:
        for each in (session, empty):
            with pytest.raises(muniment.UnknownFileError):
                each.find_file(file)


def test_a_file_without_a_fingerprint_of_its_own_cannot_be_compared(
    workspace: Workspace, tmp_path: Path
) -> None:
    lossy = "lossy_suffixes = ('.json',)\n\n    class Export("
    source = DOTS.replace("class Export(", lossy)
    workspace.plugin_folder.add(
        source.replace('dots = json.loads(data)["dots"]', 'dots = json.loads(data)["none"]')
    )
    session = workspace.session
    done = session.generate("a b", generator="dotter", seed=7)
    file = tmp_path / "file.json"
    file.write_bytes(session.media.export(done, done.outputs[0], ".json", {}))
    with pytest.warns(muniment.PluginWarning, match="fingerprint"):
        origin = session.find_file(file)
    assert (origin.id, origin.same_content) == (done.id, None)
    unknown = to_json([replace(done.provenance, id=new_id())])
    file.write_text(json.dumps({"dots": [], "from": unknown}))
    with pytest.raises(muniment.MunimentError, match="contains the id"):
        session.find_file(file)


def test_a_certificate_without_a_key_is_an_error(workspace: Workspace, tmp_path: Path) -> None:
    workspace.plugin_folder.add(WAVES)
    session = workspace.session
    done = session.generate("a", generator="beeper")
    session.config.set("certificate", str(tmp_path / "certificate.pem"))
    with pytest.raises(muniment.ProvenanceError, match="certificate_key"):
        session.media.export(done, done.outputs[0], ".wav", {})
    session.config.set("certificate", None)
    assert session.media.export(done, done.outputs[0], ".wav", {})
    signer = session.media.signer
    assert signer.notice(".dots") == ""
    assert all(word in signer.notice(".wav") for word in ("not signed", "no producer"))
    session.config.set("producer", "001A")
    assert "producer" not in signer.notice(".wav")


def test_a_private_file_names_no_model_of_a_parameter(workspace: Workspace) -> None:
    workspace.plugin_folder.add(DOTS)
    done = workspace.session.generate("a", generator="dotter")
    model = muniment.Model("m", "tree1-sha256:12", "")
    done = replace(done, model=model, models={"adapter": model}, parameters={"steps": 3})
    signer = workspace.session.media.signer
    assert signer.provenance(done).models == {"adapter": model.digest}
    private = signer.provenance(done, private=True)
    assert (private.prompt, private.parameters, private.models) == ("", {}, {})
    assert (private.model, private.model_digest, private.seed) == ("m", model.digest, done.seed)


def test_the_formats_that_are_signed_are_those_of_the_library() -> None:
    assert all(map(can_sign, SIGNED_TYPES.values()))


def test_an_invalid_provenance_in_a_file_is_reported_and_ignored(
    workspace: Workspace, tmp_path: Path
) -> None:
    workspace.plugin_folder.add(DOTS)
    session, reports = workspace.session, []
    session.warn = reports.append
    done = session.generate("a b", generator="dotter", seed=7)
    file = tmp_path / "file.dots"
    file.write_bytes(done.outputs[0].data + b'|{"format": "other"}')
    assert session.find_file(file).stamp is None
    assert session.read_file(file) == ()
    assert ["other" in report for report in reports] == [True, True]
    file.write_bytes(b"DOTS" + bytes(9) + b'|{"format": "other"}')
    with pytest.raises(muniment.UnknownFileError, match=r"the request in .* is invalid.*other"):
        session.find_file(file)
    assert len(reports) == 2
