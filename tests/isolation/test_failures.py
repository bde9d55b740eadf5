"""Workers that crash, hang or exceed a limit: the request fails, and the others are answered."""

from __future__ import annotations

import pytest

from muniment import UsageError
from muniment.plugins.isolation import process
from support.plugins import PluginFolder
from support.workers import ECHO, IsolatedWorkspace, texts

# ---- what a worker can do to itself ------------------------------------------------------------

FICKLE = """
import ctypes, os, signal, subprocess, sys, time
for request in requests:
    if request.prompt == "break":
{body}
    yield request.reply(Text(request.prompt))
"""
SELF_HARM = {
    "a segfault": ("ctypes.string_at(0)", "was ended by SIGSEGV"),
    "an abort": ("os.abort()", "was ended by SIGABRT"),
    "a kill": ("os.kill(os.getpid(), signal.SIGKILL)", "was ended by SIGKILL"),
    "an exit": ("os._exit(0)", "ended with exit code 0"),
    "an exit with a code": ("os._exit(7)", "ended with exit code 7"),
    "an endless loop": ("while True: pass", "within its limit of 1 s"),
    "an endless loop that holds the interpreter": (
        "import re; re.match('(a+)+$', 'a' * 60 + 'b')",
        "within its limit of 1 s",
    ),
    "endless output": ("while True: print('x')", "within its limit of 1 s"),
    "an endless line": ("while True: sys.stdout.write('x' * 65536)", "within its limit of 1 s"),
    "endless pieces": (
        "while True: yield request.chunk('x')",
        "within its limit of 1 s",
    ),
    "endless memory": (
        "held = []\nwhile True: held.append(bytearray(1 << 24))",
        " (its limit is 400 MB)",
    ),
    "all memory at once": ("held = bytearray(1 << 40)", " (its limit is 400 MB)"),
    "a child that goes on": ("os.fork()", ""),
    "a child that lives on": ("if os.fork() == 0: time.sleep(600)\nelse: os._exit(1)", "ended"),
    "a child in a session of its own": (
        "subprocess.Popen(['sleep', '2'], start_new_session=True)\nos._exit(1)",
        "ended with exit code 1",
    ),
    "every pipe closed": ("os.closerange(0, 64)", "worker process"),
    "rubbish in every pipe": (
        (
            "for fd in range(3, 64):\n"
            "    try: os.write(fd, b'\\x00\\x00\\x00\\x04abcd' * 4)\n"
            "    except OSError: pass"
        ),
        "sent an invalid answer",
    ),
    "a length beyond all bounds": (
        ("for fd in range(3, 64):\n    try: os.write(fd, b'\\xff' * 64)\n    except OSError: pass"),
        "sent an invalid answer",
    ),
    "too much to say": ("yield request.reply(Text('x' * (1 << 30)))\ncontinue", ""),
    "endless progress": (
        (
            "from muniment.plugins.isolation import protocol\n"
            "frames = protocol.frame(protocol.Progress('x', 0.5)) * 50\n"
            "while True:\n"
            "    for fd in range(3, 64):\n"
            "        try: os.write(fd, frames)\n"
            "        except OSError: pass"
        ),
        "within its limit of 1 s",
    ),
    "a stop": ("os.kill(os.getpid(), signal.SIGSTOP)", "within its limit of 1 s"),
}


def fickle(plugin_folder: PluginFolder, body: str, distribution: str = "fickle") -> None:
    indented = "\n".join(" " * 8 + line for line in body.splitlines())
    plugin_folder.generator("fickle", FICKLE.format(body=indented), distribution=distribution)


@pytest.mark.parametrize("name", SELF_HARM)
def test_what_a_worker_does_to_itself_fails_its_request_and_the_rest_goes_on(
    workspace: IsolatedWorkspace, plugin_folder: PluginFolder, name: str
) -> None:
    body, complaint = SELF_HARM[name]
    fickle(plugin_folder, body)
    workspace.set("fickle", timeout=1 if "limit of 1 s" in complaint else 60, memory=400)
    first, broken, last = workspace.run("first", "break", "最后")
    assert texts([first, last]) == ["first", "最后"]
    if complaint:
        assert broken.status == "failed"
        assert broken.failure is not None
        assert broken.failure.message.startswith("generator fickle failed: ")
        assert complaint in broken.failure.message
    assert texts(workspace.run("again")) == ["again"]


def test_a_worker_that_hangs_at_import_is_a_broken_plugin(
    workspace: IsolatedWorkspace, plugin_folder: PluginFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "STARTING", 1.0)
    plugin_folder.add("while True: pass", distribution="unlucky")
    (broken,) = workspace.session.plugins.load()
    assert broken.message == (
        "plugin unlucky cannot be loaded: it did not answer within its limit of 1 s; "
        "its worker process was killed"
    )


def test_a_broken_plugin_keeps_the_traceback_of_its_worker(
    workspace: IsolatedWorkspace, plugin_folder: PluginFolder
) -> None:
    plugin_folder.add("def helper():\n    raise RuntimeError('deep')\nhelper()\n")
    (broken,) = workspace.session.plugins.load()
    assert "in helper" in broken.traceback


def test_a_printer_without_end_fills_no_log(
    workspace: IsolatedWorkspace, plugin_folder: PluginFolder, capfd: pytest.CaptureFixture[str]
) -> None:
    fickle(plugin_folder, "while True: print('x')")
    workspace.set("fickle", timeout=1)
    workspace.run("break")
    said = capfd.readouterr().err.splitlines()
    assert "plugin fickle: further output is not displayed" in said
    assert len(said) < 5000


# ---- filters and evaluators ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (
            "while True: pass",
            "it did not answer within its limit of 1 s; its worker process was killed",
        ),
        ("import ctypes; ctypes.string_at(0)", "its worker process was ended by SIGSEGV"),
        ("import os; os._exit(0)", "its worker process ended with exit code 0"),
    ],
)
def test_a_filter_that_never_answers_blocks_and_judges_the_next(
    workspace: IsolatedWorkspace, plugin_folder: PluginFolder, body: str, complaint: str
) -> None:
    plugin_folder.generator("echo", ECHO)
    plugin_folder.filter(
        "words", f"if content.text == 'break':\n    {body}\nreturn content.allow()"
    )
    policy = workspace.policy("{filter: words, time_limit: 1, stages: [prompt]}")
    first, broken, last = workspace.run("first", "break", "last", policy=policy)
    assert texts([first, last]) == ["first", "last"]
    assert broken.status == "blocked"
    assert broken.verdicts[0].failure == f"filter words failed: {complaint}"


def test_the_setting_of_a_plugin_limits_its_filter_too(
    workspace: IsolatedWorkspace, plugin_folder: PluginFolder
) -> None:
    plugin_folder.generator("echo", ECHO)
    plugin_folder.filter("words", "while True: pass", distribution="endless")
    workspace.set("endless", timeout=0.5)
    (found,) = workspace.run("hi", policy=workspace.policy("{filter: words}"))
    assert found.status == "blocked"
    assert "within its limit of 0.5 s" in (found.verdicts[0].failure or "")


def test_what_starting_again_takes_is_not_the_filters_time(
    workspace: IsolatedWorkspace, plugin_folder: PluginFolder
) -> None:
    plugin_folder.generator("echo", ECHO)
    plugin_folder.filter(
        "words",
        "if content.text == 'break': import os; os._exit(0)\nreturn content.allow()",
        attributes="def __init__(self, parameters):\n"
        "    import time\n"
        "    super().__init__(parameters)\n"
        "    time.sleep(1)",
    )
    policy = workspace.policy("{filter: words, time_limit: 0.9, stages: [prompt]}")
    broken, last = workspace.run("break", "last", policy=policy)
    assert (broken.status, last.status) == ("blocked", "completed")


@pytest.mark.parametrize(
    "error", ["muniment.ParameterError", "type('Mine', (muniment.ParameterError,), {})"]
)
def test_what_a_filter_says_against_its_parameters_refuses_the_policy(
    workspace: IsolatedWorkspace, plugin_folder: PluginFolder, error: str
) -> None:
    plugin_folder.generator("echo", ECHO)
    plugin_folder.filter(
        "words",
        "return content.allow()",
        attributes="def __init__(self, parameters):\n"
        f"    raise {error}('terms', 'the terms say nothing')",
    )
    with pytest.raises(UsageError, match=r"filters\[0\] \(words\): the terms say nothing"):
        workspace.run("hi", policy=workspace.policy("{filter: words}"))


def test_one_worker_serves_a_plugins_generator_and_filter_in_turn(
    workspace: IsolatedWorkspace, plugin_folder: PluginFolder
) -> None:
    plugin_folder.add(
        """
        import muniment
        class Echo(muniment.Generator):
            name, media_type = "echo", "text/plain"
            def generate(self, requests):
                for request in requests: yield request.reply(muniment.Text(request.prompt))
        class Words(muniment.Filter):
            name = "words"
            def check(self, content):
                if content.text == "break": import os; os._exit(0)
                return content.allow()
        @muniment.hookimpl
        def muniment_generators(register): register(Echo)
        @muniment.hookimpl
        def muniment_filters(register): register(Words)
        """
    )
    policy = workspace.policy("{filter: words, stages: [output]}")
    found = workspace.run("first", "break", "last", policy=policy)
    assert [item.status for item in found] == ["completed", "blocked", "completed"]


def test_an_evaluator_that_never_answers_fails_its_score(
    workspace: IsolatedWorkspace, plugin_folder: PluginFolder
) -> None:
    plugin_folder.generator("echo", ECHO)
    plugin_folder.evaluator("endless", "while True: pass", distribution="endless")
    workspace.set("endless", timeout=0.5)
    (found,) = workspace.run("hi")
    assert found.status == "completed"
    assert "within its limit of 0.5 s" in (found.scores[0].failure or "")
