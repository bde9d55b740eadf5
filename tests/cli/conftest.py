"""The command line with small plugins: a generator of text, one of images, a filter."""

from __future__ import annotations

from pathlib import Path

import pytest

from muniment.plugins import discovery
from support.commands import Here, Processes
from support.plugins import PluginFolder

ECHO = """
import time
for request in requests:
    words = request.prompt.split()
    if "raise" in words:
        raise RuntimeError("the echo broke")
    if "stall" in words:
        open(request.system, "w").close()
        time.sleep(60)
    if "fail" in words:
        yield request.fail("it cannot be met")
        continue
    text = " ".join(words * request.parameters.times)
    if "drift" in words:
        text += str(time.time_ns())
    if "leak" in words:
        text += " secret"
    for index, word in enumerate(text.split(" ") if request.stream else ()):
        yield request.chunk(" " * (index > 0) + word)
    tokens = len(words)
    trace = Trace(range(tokens), [-1.0] * tokens, [0.5] * tokens)
    yield request.reply(Text(text, "stop"), usage=Usage(tokens, tokens), trace=trace)
"""

ECHO_PARAMETERS = """
times: int = param(1, ge=1, le=10, help="how often to say it")
warmth: float = param(0.5, ge=0, help="how warm")
loud: bool = param(False, help="whether to shout")
mood: Literal["happy", "sad"] = param("happy", help="the mood")
stop_words: list[str] = param([], help="words to stop at")
"""

WORDS = """
if "bomb" in content.text or "secret" in content.text:
    start = max(content.text.find("bomb"), content.text.find("secret"))
    return content.block(Reason("weapons", f"says {content.text[start:]}", start))
return content.flag("rude") if "darn" in content.text else content.allow()
"""

POLICY = """
policy: team
version: "3"
filters:
  - filter: words
    parameters: {}
"""


@pytest.fixture
def plugin_folder(plugin_folder: PluginFolder, home: Path) -> PluginFolder:
    """The plugins of these tests, and settings that keep other installed ones out."""
    plugin_folder.generator("echo", ECHO, parameters=ECHO_PARAMETERS, distribution="test-echo")
    plugin_folder.generator(
        "dots",
        """
        for r in requests:
            yield r.reply(Output("image/png", b"\\x89PNG" + bytes([r.seed % 256])))
        """,
        media_type="image/png",
        distribution="test-dots",
    )
    plugin_folder.filter("words", WORDS, distribution="test-words")
    home.mkdir()
    (home / "config.toml").write_text('policy = "none"\nevaluators = ""\nactor = "小明"\n')
    return plugin_folder


@pytest.fixture
def policy_file(tmp_path: Path) -> Path:
    """A policy with the filter of these tests."""
    path = tmp_path / "team.yaml"
    path.write_text(POLICY, encoding="utf-8")
    return path


@pytest.fixture
def muniment(
    plugin_folder: PluginFolder, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Here:
    """The command line, in this process, with the plugins of these tests and no other."""
    monkeypatch.setattr(
        "muniment.plugins.discovery.installed_plugins", lambda: iter(plugin_folder.all)
    )
    everything = discovery.installed_commands
    monkeypatch.setattr(
        "muniment.plugins.discovery.installed_commands",
        lambda: [item for item in everything() if not item.distribution.startswith("muniment-")],
    )
    return Here(capfd, monkeypatch)


@pytest.fixture
def processes(plugin_folder: PluginFolder, home: Path) -> Processes:
    """The command line, each call in a process of its own."""
    return Processes(plugin_folder.folder, home)
