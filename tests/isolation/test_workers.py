"""Plugins in worker processes, which give the same bytes as plugins in this process."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path

import pytest

from muniment import Chunk, Generation, GenerationSpec, ModelError, PluginError, Session, UsageError
from support.commands import Processes
from support.models import ListedNotices
from support.plugins import PluginFolder
from support.workers import ECHO, IsolatedWorkspace, texts, wait_for, wait_until_gone

PID = "import os\nfor request in requests: yield request.reply(Text(str(os.getpid())))"


# ---- where a plugin runs -------------------------------------------------------------------------


def test_an_isolated_plugin_is_imported_in_one_worker_and_never_here(
    workspace: IsolatedWorkspace, plugin_folder: PluginFolder
) -> None:
    plugin = plugin_folder.generator("pid", PID)
    (first,) = texts(workspace.run("a"))
    assert texts(workspace.run("b", "c")) == [first, first]
    assert int(first) != os.getpid()
    assert plugin.module not in sys.modules


def test_a_class_registered_by_name_is_imported_in_the_worker_when_it_is_needed(
    workspace: IsolatedWorkspace, plugin_folder: PluginFolder, tmp_path: Path
) -> None:
    mark = tmp_path / "mark"
    plugin = plugin_folder.add(
        """
        import muniment
        @muniment.hookimpl
        def muniment_generators(register):
            register("{package}.heavy:Heavy", name="lazy", media_type="text/plain")
        """,
        files={
            "heavy.py": f"""
            import muniment
            open({str(mark)!r}, "w").close()
            class Heavy(muniment.Generator):
                name, media_type = "lazy", "text/plain"
                def generate(self, requests):
                    for request in requests:
                        yield request.reply(muniment.Text(request.prompt))
            """
        },
    )
    (registered,) = workspace.session.plugins.objects("generator")
    assert (registered.name, registered.media_type) == ("lazy", "text/plain")
    assert not mark.exists()
    assert texts(workspace.run("hi")) == ["hi"]
    assert mark.exists()
    assert not [name for name in sys.modules if name.startswith(plugin.module)]


def test_a_setting_isolates_one_plugin_and_no_other(
    workspace: IsolatedWorkspace, plugin_folder: PluginFolder
) -> None:
    workspace.only_set = True
    names = ("isolate", "timeout", "memory", "here")
    for name in names:
        plugin_folder.generator(name, PID, distribution=f"the.{name.upper()}")
    workspace.set("the-isolate", isolate="true")
    workspace.set("the-timeout", timeout=30)
    workspace.set("the-memory", memory=4000)
    pids = {name: int(texts(workspace.run("hi", generator=name))[0]) for name in names}
    assert pids["here"] == os.getpid()
    assert len(set(pids.values())) == 4


def test_a_worker_sees_no_secret_and_no_address_of_a_store(
    workspace: IsolatedWorkspace,
    plugin_folder: PluginFolder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    secrets = (
        "MUNIMENT_STORE MUNIMENT_HOME DATABASE_URL PGPASSWORD AWS_SECRET_ACCESS_KEY HF_TOKEN "
        "OPENAI_API_KEY HTTPS_PROXY SSH_AUTH_SOCK PIP_INDEX_URL PATH_TOKEN"
    ).split()
    for name in secrets:
        monkeypatch.setenv(name, str(tmp_path / "secret"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    plugin_folder.generator(
        "environment",
        "import os\n"
        "seen = ' '.join(f'{name}={value}' for name, value in os.environ.items())\n"
        "for request in requests: yield request.reply(Text(seen))",
    )
    (seen,) = texts(workspace.run("hi"))
    assert "secret" not in seen
    assert "OMP_NUM_THREADS=1" in seen
    assert {item.partition("=")[0] for item in seen.split()} >= {"PATH"}


def test_a_plugin_of_one_file_is_isolated_too(
    home: Path, tmp_path: Path, plugin_folder: PluginFolder
) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "import os, muniment\n"
        "class Mine(muniment.Generator):\n"
        "    name, media_type = 'mine', 'text/plain'\n"
        "    def generate(self, requests):\n"
        "        for request in requests: yield request.reply(muniment.Text(str(os.getppid())))\n"
        "@muniment.hookimpl\n"
        "def muniment_generators(register): register(Mine)\n"
    )
    home.mkdir()
    (home / "config.toml").write_text('policy = "none"\nevaluators = ""\n')
    command = Processes(plugin_folder.folder, home)
    with command.started("--plugin", file, "generate", "mine", "hi", "--isolate") as running:
        out, err = running.communicate(timeout=60)
    assert (running.returncode, out) == (0, f"{running.pid}\n"), err


def test_a_worker_has_a_session_of_its_own_and_no_standard_input(
    workspace: IsolatedWorkspace, plugin_folder: PluginFolder
) -> None:
    plugin_folder.generator(
        "alone",
        "import os, sys\n"
        "seen = f'{os.getsid(0) == os.getpid()} {sys.stdin.read()!r}'\n"
        "for request in requests: yield request.reply(Text(seen))",
    )
    assert texts(workspace.run("hi")) == ["True ''"]


def test_what_a_plugin_prints_is_passed_on_line_by_line_with_its_name(
    workspace: IsolatedWorkspace, plugin_folder: PluginFolder, capfd: pytest.CaptureFixture[str]
) -> None:
    plugin_folder.generator(
        "talker",
        "import os, subprocess, sys\n"
        "for r in requests:\n"
        "    print('printed \\x1b[31m红')\n"
        "    os.write(1, b'written\\n')\n"
        "    subprocess.run(['echo', 'by a child'])\n"
        "    sys.stderr.write('no newline')\n"
        "    yield r.reply(Text('x'))",
        distribution="talks",
    )
    texts(workspace.run("hi"))
    workspace.close()
    said = capfd.readouterr()
    assert said.out == ""
    for line in ("printed \\x1b[31m红", "written", "by a child", "no newline"):
        assert f"plugin talks: {line}\n" in said.err


def test_a_session_that_closes_ends_its_workers(
    workspace: IsolatedWorkspace, plugin_folder: PluginFolder
) -> None:
    plugin_folder.generator("pid", PID)
    (pid,) = texts(workspace.run("a"))
    workspace.close()
    wait_until_gone(int(pid))


# ---- the same bytes ------------------------------------------------------------------------------

THOROUGH = """
import dataclasses
for request in requests:
    said = [request.prompt, request.system, request.seed, dict(request.parameters), request.stream,
            request.random().random(), type(request.parameters).__name__, request.model]
    trace = Trace(range(3), [-0.1, float(-1e-300), -1/3], [0.1 + 0.2, 5e-324, 1.0])
    yield request.reply(
        Text(repr(said), "stop"), Text("最近" * request.parameters.times), usage=Usage(2, 3),
        trace=trace,
    )
"""
PARAMETERS = """
times: int = param(1, ge=0, help="how often")
big: int = param(99999999999999999999)
warmth: float = param(0.1, ge=0)
loud: bool = param(False)
mood: Literal["happy", "sad"] | None = param(None)
words: list[str] = param(["a"])
"""


def test_the_same_request_gives_the_same_record_in_process_and_isolated(
    workspace: IsolatedWorkspace, plugin_folder: PluginFolder
) -> None:
    attributes = "def environment(self): return {'threads': 2, 'library': '1.0'}"
    plugin_folder.generator("thorough", THOROUGH, parameters=PARAMETERS, attributes=attributes)
    plugin_folder.filter(
        "counts", "return content.flag(Reason('long', 'so', 0, len(content.text)), n=0.5)"
    )
    plugin_folder.evaluator(
        "measures",
        "return {'value': len(generation.trace.token_ids) + generation.seed % 7 + "
        "generation.parameters['times'] + generation.parameters['big'] % 10}",
    )
    drafts = [
        GenerationSpec("最近我国成功发射了新的卫星", seed=2**64 - 1, system="你好", tags=("t",)),
        GenerationSpec("second", seed=0, parameters={"times": 7, "warmth": 0.30000000000000004}),
        GenerationSpec(
            "𠮷\u0301\n\t", seed=5, parameters={"mood": "sad", "words": ["x", "y"], "big": -1}
        ),
    ]
    policy = workspace.policy("{filter: counts}")

    def record(session: Session) -> list[dict[str, object]]:
        found = list(session.run(drafts, policy=policy))
        kept = []
        for item in found:
            assert isinstance(item, Generation)
            value = session.generation(item.id).to_json()
            value |= {"trace": item.trace, "outputs": item.outputs}
            for name in ("id", "run_id", "started_at", "finished_at", "seconds"):
                value.pop(name, None)
            for result in (*value["verdicts"], *value["scores"]):
                result.pop("latency_ms")
            kept.append(value)
        return kept

    isolated = record(workspace.session)
    workspace.check()
    with Session(workspace.home, plugins=plugin_folder.plugins()) as here:
        assert record(here) == isolated
    assert isolated[0]["status"] == "completed"
    assert isolated[0]["environment"].items() >= {"threads": 2, "library": "1.0"}.items()  # type: ignore[attr-defined]


RESOLVING = """
inputs = (muniment.InputSpec("words", ("text/plain",)),)
prompt = "optional"
def resolve(self, request, model):
    if request.parameters.steps == 13:
        raise muniment.UsageError("13 steps are too many; use fewer")
    if request.parameters.steps == 99:
        raise KeyError("steps")
    inputs = {} if request.inputs else {"words": request.parameters.adapter.encode()}
    steps = {} if request.parameters.steps else {"steps": 2**65}
    return muniment.Resolution(steps, inputs)
"""


def test_resolve_and_models_of_parameters_work_in_a_worker(
    workspace: IsolatedWorkspace, plugin_folder: PluginFolder, tmp_path: Path
) -> None:
    model = tmp_path / "adapter"
    model.mkdir()
    (model / "w").write_text("3")
    plugin_folder.generator(
        "resolving",
        "for r in requests: yield r.reply(Text(f'{r.inputs} {r.models} {r.parameters.steps}'))",
        attributes=RESOLVING,
        parameters="steps: int | None = param(None)\nadapter: str = param('', model=True)",
    )
    plugin_folder.add(
        """
        import muniment
        from pathlib import Path
        from muniment import param
        class Weighed(muniment.Evaluator):
            name, measures = "weighed", (muniment.Measure("value"),)
            class Parameters(muniment.Parameters):
                by: float = param(1.0)
                clip: str | None = param(None, model=True)
            def evaluate(self, generation):
                weight = int(Path(self.models["clip"].path, "w").read_text())
                return {"value": weight * self.parameters.by}
        @muniment.hookimpl
        def muniment_evaluators(register): register(Weighed)
        """
    )
    names = [f"weighed(by=2, clip={model})"]
    found = {}
    for where in ("worker", "here"):
        session = workspace.session
        if where == "here":
            session = Session(workspace.home, plugins=plugin_folder.plugins())
        with contextlib.closing(session):
            done = session.generate(parameters={"adapter": str(model)}, evaluate=names)
            recorded = session.generation(done.id)
            assert recorded == done
            (score,) = done.scores
            found[where] = (
                done.text,
                done.models,
                done.inputs,
                done.parameters,
                (score.evaluator, score.value, score.parameters, score.models),
            )
            with pytest.raises(UsageError, match="13 steps"):
                session.generate("x", parameters={"steps": 13})
            with pytest.raises(PluginError, match="resolving cannot resolve a request: KeyError"):
                session.generate("x", parameters={"steps": 99})
    assert found["worker"] == found["here"]
    assert found["here"][4][1] == 6.0


def test_a_parameter_that_cannot_be_is_refused_in_the_same_words(
    workspace: IsolatedWorkspace, plugin_folder: PluginFolder
) -> None:
    plugin_folder.generator("thorough", THOROUGH, parameters=PARAMETERS)
    with Session(workspace.home, plugins=plugin_folder.plugins()) as here:
        for given in ({"times": -1}, {"mood": "angry"}, {"nothing": 1}):
            said = []
            for session in (workspace.session, here):
                with pytest.raises(UsageError) as caught:
                    session.generate("hi", parameters=given)
                said.append(str(caught.value))
            assert said[0] == said[1]
        schemas = [
            session.plugins.find("generator", "thorough").parameters.schema()
            for session in (workspace.session, here)
        ]
    assert schemas[0] == schemas[1]


def test_replay_is_exact_from_in_process_to_isolated_and_back(
    workspace: IsolatedWorkspace, plugin_folder: PluginFolder
) -> None:
    plugin_folder.generator("thorough", THOROUGH, parameters=PARAMETERS)
    isolated = workspace.session.generate("最近")
    with Session(workspace.home, plugins=plugin_folder.plugins()) as here:
        inside = here.generate("hi")
        found = list(here.replay([isolated, inside]))
    found += list(workspace.session.replay([isolated, inside]))
    assert [item.result for item in found] == ["exact"] * 4


def test_the_record_says_so_where_bytes_may_depend_on_the_process(
    workspace: IsolatedWorkspace, plugin_folder: PluginFolder
) -> None:
    plugin_folder.generator("loose", ECHO, determinism="best-effort")
    plugin_folder.generator("firm", ECHO)
    loose, firm = (workspace.session.generate("hi", generator=name) for name in ("loose", "firm"))
    assert loose.environment["process"] == "worker"
    assert "process" not in firm.environment


def test_megabytes_go_both_ways(workspace: IsolatedWorkspace, plugin_folder: PluginFolder) -> None:
    plugin_folder.generator(
        "large",
        "for r in requests: yield r.reply(Output('image/png', r.prompt.encode() * 10))",
        media_type="image/png",
    )
    prompt = "最近" * 200_000
    (found,) = workspace.run(prompt, generator="large")
    assert found.outputs[0].data == prompt.encode() * 10


# ---- streaming and stopping ----------------------------------------------------------------------


def test_pieces_come_as_they_are_made(
    workspace: IsolatedWorkspace, plugin_folder: PluginFolder, tmp_path: Path
) -> None:
    seen = tmp_path / "seen"
    plugin_folder.generator(
        "slow",
        f"""
        import os, time
        for request in requests:
            yield request.chunk("最")
            while not os.path.exists({str(seen)!r}): time.sleep(0.01)
            yield request.chunk("近")
            yield request.reply(Text("最近"))
        """,
    )
    items = workspace.session.run([GenerationSpec("hi")], stream=True)
    first = next(items)
    assert isinstance(first, Chunk)
    assert first.text == "最"
    seen.touch()
    second, generation = items
    assert isinstance(second, Chunk)
    assert isinstance(generation, Generation)
    assert (second.text, generation.text) == ("近", "最近")


def test_a_consumer_that_stops_closes_the_call_and_the_worker_goes_on(
    workspace: IsolatedWorkspace, plugin_folder: PluginFolder, tmp_path: Path
) -> None:
    closed = tmp_path / "closed"
    plugin_folder.generator(
        "careful",
        f"""
        import os
        for request in requests:
            try:
                yield request.chunk("a")
                yield request.reply(Text(f"a {{os.getpid()}}"))
            except GeneratorExit:
                open({str(closed)!r}, "w").close()
                raise
        """,
    )
    (before,) = texts(workspace.run("x"))
    items = workspace.session.run([GenerationSpec("y")], stream=True)
    assert isinstance(next(items), Chunk)
    with contextlib.closing(items):  # type: ignore[type-var]
        pass
    assert closed.exists()
    assert workspace.recorded()[-1].status == "interrupted"
    assert texts(workspace.run("z")) == [before]


STALL = """
import os, subprocess, time
for request in requests:
    if request.prompt.startswith("stall "):
        child = subprocess.Popen(["sleep", "600"])
        with open(request.prompt.partition(" ")[2], "w") as file:
            file.write(f"{os.getpid()} {child.pid}")
        {stalling}
    yield request.reply(Text(request.prompt))
"""
FOREVER = {
    "asleep": "time.sleep(600)",
    "at work": "while True: pass",
    "holding the interpreter": "import re; re.match('(a+)+$', 'a' * 60 + 'b')",
}


@pytest.mark.parametrize("stalling", FOREVER.values(), ids=FOREVER)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_ctrl_c_and_a_kill_end_the_worker_and_what_it_started(
    plugin_folder: PluginFolder, home: Path, tmp_path: Path, number: signal.Signals, stalling: str
) -> None:
    home.mkdir()
    (home / "config.toml").write_text('policy = "none"\nevaluators = ""\n')
    plugin_folder.generator("staller", STALL.replace("{stalling}", stalling))
    flag = tmp_path / "flag"
    command = Processes(plugin_folder.folder, home)
    arguments = ("generate", "staller", f"stall {flag}", "--isolate")
    with command.started(*arguments) as running:
        pids = map(int, wait_for(flag).split())
        running.send_signal(number)
        out, err = running.communicate(timeout=60)
    wait_until_gone(*pids)
    if number == signal.SIGINT:
        assert (running.returncode, out, err[:11]) == (130, "", "Interrupted")
    (value,) = command("audit", "list", "--json").json("generation")
    assert value["status"] == "interrupted"
    assert command("audit", "verify", "--all").code == 0


# ---- models --------------------------------------------------------------------------------------

LOADING = """
uses_model = True
def packaged_models(self):
    return []
def load(self, model):
    import os
    with open(os.environ["HOME"] + "/loads", "a") as file: file.write("x")
    self.words = open(model.path + "/words").read()
def add_model(self, source, into, progress):
    progress("writing", 0.5)
    (into / "words").write_text("最近")
    return {"name": "tiny", "roles": {"words": "words"}, "terms": "none"}
def find_model(self, source):
    raise muniment.ModelError(source, f"no model {source} here")
"""


def test_models_are_added_loaded_and_loaded_again_after_a_crash(
    workspace: IsolatedWorkspace,
    plugin_folder: PluginFolder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    plugin_folder.generator(
        "modelled",
        "import os\n"
        "for r in requests:\n"
        "    if r.prompt == 'break': os._exit(0)\n"
        "    yield r.reply(Text(f'{r.prompt} {self.words}'))",
        attributes=LOADING,
    )
    from muniment.plugins.objects import instantiate

    made = instantiate(workspace.session.plugins.find("generator", "modelled"))
    notices = ListedNotices()
    workspace.session.models.add("tiny", "modelled", made, notices=notices)
    assert notices.steps[0] == ("writing", 0.5)
    assert notices.steps[-1][1] == 1.0  # hashed
    assert texts(workspace.run("a", "b")) == ["a 最近", "b 最近"]
    assert (tmp_path / "loads").read_text() == "x"
    first, broken, last = workspace.run("a", "break", "b")
    assert texts([first, last]) == ["a 最近", "b 最近"]
    assert broken.status == "failed"
    with pytest.raises(Exception, match="no model some/where here"):
        workspace.session.generate("hi", model="some/where")


def test_workers_get_inputs_with_requests_contents_and_generations(
    workspace: IsolatedWorkspace, plugin_folder: PluginFolder
) -> None:
    plugin_folder.generator(
        "join",
        "for r in requests: yield r.reply(Text(r.inputs['context'].text + str(r.inputs['raw'])))",
        attributes="""
        inputs = (
            muniment.InputSpec("context", ("text/plain",), 50, "a text", "--context TEXT"),
            muniment.InputSpec("raw", ("application/octet-stream",)),
        )
        """,
    )
    plugin_folder.filter("named", "return content.flag(Reason(content.input or content.stage))")
    plugin_folder.evaluator("sizes", "return {'value': len(generation.inputs[1].data)}")
    (registered,) = workspace.session.plugins.objects("generator")
    assert (registered.inputs[0].option, registered.inputs[1].max_bytes) == (
        "--context TEXT",
        16_000_000,
    )
    policy = workspace.home / "policy.yaml"
    policy.write_text("policy: p\nversion: 1\nfilters: [{filter: named, stages: [prompt]}]\n")
    done = workspace.session.generate(
        "x", generator="join", policy=policy, inputs={"context": "卫星".encode(), "raw": b"\0\xff"}
    )
    assert done.text.startswith("卫星Input(name='raw'")
    assert [v.reasons[0].category for v in done.verdicts] == ["prompt", "context"]
    assert [score.value for score in done.scores] == [2]


RETURNS_NOTHING = """
uses_model = True
def packaged_models(self):
    return []
def add_model(self, source, into, progress):
    return None
def find_model(self, source):
    return None
"""


@pytest.mark.parametrize(
    ("method", "facts"),
    [("add_model", "None"), ("add_model", "{'name': into}"), ("find_model", "None")],
)
def test_a_method_about_models_that_returns_something_else_is_named(
    workspace: IsolatedWorkspace, plugin_folder: PluginFolder, method: str, facts: str
) -> None:
    attributes = RETURNS_NOTHING.replace("None", facts)
    plugin_folder.generator("modelled", "yield from ()", attributes=attributes)
    from muniment.plugins.objects import instantiate

    made = instantiate(workspace.session.plugins.find("generator", "modelled"))
    models = workspace.session.models
    arguments = {"add_model": ("tiny", "modelled", made), "find_model": ("some/where", made)}
    call = {"add_model": models.add, "find_model": models.resolve}[method]
    with pytest.raises(ModelError, match=rf"{method}\(\) of generator 'modelled' must return"):
        call(*arguments[method])
