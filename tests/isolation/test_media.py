"""Media types of isolated plugins: the same results, time limits, and workers that end."""

from __future__ import annotations

from pathlib import Path

import pytest

import muniment
from muniment.errors import PluginError
from muniment.plugins.media import MediaTypes
from muniment.provenance import create_credentials, read_manifest
from support.lists import TITLES, add_lists
from support.media import DOTS, WAVES, media_type
from support.plugins import PluginFolder
from support.workers import IsolatedWorkspace

ONE = muniment.Output("application/x-dots", b"DOTSabc")
OTHER = muniment.Output("application/x-dots", b"DOTSaxc")


def test_an_isolated_media_type_gives_the_same_results(
    workspace: IsolatedWorkspace, plugin_folder: PluginFolder
) -> None:
    plugin_folder.add(DOTS)
    done = workspace.session.generate("a b", generator="dotter", seed=7)
    media, local = workspace.session.media, MediaTypes(plugin_folder.plugins())
    [registered], [here] = media.recognised(b"DOTS"), local.recognised(b"DOTS")
    assert (registered.name, registered.media_types) == (here.name, here.media_types)
    assert registered.load_class().suffixes == here.load_class().suffixes
    assert registered.parameters.schema() == here.parameters.schema()
    for each in media, local:
        assert each.describe(ONE) == "3 dots"
        assert each.compare(ONE, OTHER) == local.compare(ONE, OTHER)
        assert each.preview(ONE, 2) == local.preview(ONE, 2)
        assert each.fingerprint(registered, b"DOTS\x07|") == local.fingerprint(here, b"DOTS\x07|")
        file = each.export(done, done.outputs[0], ".json", {"scale": 3})
        assert file == local.export(done, done.outputs[0], ".json", {"scale": 3})
        assert each.read_provenance(registered, file) == (done.provenance,)
        pair = [(done, ONE), (done, OTHER)]
        assert each.combine(pair, ".json", {}) == local.combine(pair, ".json", {})
    assert done.outputs[0].fingerprint == local.with_fingerprint(done.outputs[0]).fingerprint
    workspace.check()


def test_files_of_an_isolated_media_type_are_signed_outside_the_worker(
    workspace: IsolatedWorkspace, plugin_folder: PluginFolder, tmp_path: Path
) -> None:
    create_credentials(tmp_path / "keys", name="Test")
    source = WAVES.replace('samples = b"".join(', 'self.check()\n        samples = b"".join(')
    names = "[name for name in sys.modules if name.startswith(('c2pa', 'cryptography'))]"
    check = f"    def check(self):\n        import sys\n        assert not {names}\n\n"
    plugin_folder.add(source.replace("    def combine(", f"{check}    def combine("))
    config = workspace.session.config
    config.set("producer", "001A")
    config.set("certificate", str(tmp_path / "keys" / "certificate.pem"))
    config.set("certificate_key", str(tmp_path / "keys" / "certificate.key"))
    media, done = workspace.session.media, workspace.session.generate("a b", generator="beeper")
    file = media.export(done, done.outputs[0], ".wav", {})
    manifest = read_manifest(file, "audio/wav")
    assert manifest is not None
    assert (manifest.state, manifest.issuer) == ("Valid", "Test")
    [registered] = media.recognised(file)
    [provenance] = media.read_provenance(registered, file)
    assert (provenance.prompt, provenance.producer) == ("a b", "001A")
    private = media.export(done, done.outputs[0], ".wav", {}, private=True)
    assert [item.prompt for item in media.read_provenance(registered, private)] == [""]
    sheet = media.combine([(done, done.outputs[0])] * 2, ".wav", {})
    assert read_manifest(sheet, "audio/wav") is not None
    workspace.check()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("def describe(self, data): time.sleep(60)", "within its limit of 2 s"),
        ("def describe(self, data): raise ValueError('no')", "ValueError: no ("),
        ("def describe(self, data): return 5", "it returned int, not str"),
        ("def describe(self, data): import os; os._exit(3)", "ended with exit code 3"),
    ],
)
def test_a_failure_in_the_worker_is_reported_and_the_next_call_works(
    workspace: IsolatedWorkspace, plugin_folder: PluginFolder, body: str, reason: str
) -> None:
    plugin_folder.add(
        media_type(f"{body}\ndef preview(self, data, columns): return '•'"),
        distribution="bad-dots",
    )
    workspace.set("bad-dots", timeout="2")
    reports: list[str] = []
    workspace.session.warn = reports.append
    assert workspace.session.media.describe(ONE) is None
    assert workspace.session.media.preview(ONE, 80) == "•"
    [report] = reports
    assert "describe() of media type 'dots' of bad-dots failed" in report
    assert reason in report


def test_an_export_that_hangs_is_an_error(
    workspace: IsolatedWorkspace, plugin_folder: PluginFolder
) -> None:
    plugin_folder.add(DOTS.replace("if suffix ==", "time.sleep(60)\n        if suffix =="))
    plugin = plugin_folder.all[-1]
    workspace.set(plugin.distribution, timeout="2")
    done = workspace.session.generate("a b", generator="dotter", seed=7)
    with pytest.raises(PluginError, match="within its limit"):
        workspace.session.media.export(done, done.outputs[0], ".dots", {})


def test_items_that_hang_block_the_list_with_the_reason(
    workspace: IsolatedWorkspace, plugin_folder: PluginFolder
) -> None:
    add_lists(plugin_folder, extra="def items(self, data): import time; time.sleep(60)")
    workspace.set("ranking-type", timeout="2")
    policy = workspace.policy("{filter: colour, stages: [item]}")
    done = workspace.session.generate("[]", generator="rank", policy=policy)
    assert (done.status, done.outputs) == ("blocked", ())
    assert "within its limit of 2 s" in str(done.verdicts[-1].failure)
    workspace.check()


def test_lists_are_judged_in_the_worker(
    workspace: IsolatedWorkspace, plugin_folder: PluginFolder
) -> None:
    add_lists(plugin_folder, wanted="2")
    policy = workspace.policy("{filter: colour, stages: [item]}")
    prompt = str(TITLES).replace("'", '"')
    done = workspace.session.generate(prompt, generator="rank", policy=policy)
    assert done.outputs[0].kept == (1, 2)
    assert done.outputs[0].data == b'["green", "blue"]'
    workspace.check()
