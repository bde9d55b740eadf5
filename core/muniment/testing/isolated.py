"""Run a plugin in another process, for the contract suites.

This module contains the caller and the program of that process. The program imports the plugin's
class by its module's name, or else from its module's file.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import json
import operator
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from muniment.failures import describe
from muniment.hookspecs import Generator
from muniment.plugins.discovery import Plugin
from muniment.plugins.invocation import MissingReply, run_generator
from muniment.plugins.objects import registered_object
from muniment.plugins.quiet_output import quiet_stdout
from muniment.types.outputs import Output
from muniment.types.replies import Chunk
from muniment.types.requests import Request

HEAVY = frozenset(
    "PIL cv2 diffusers jax matplotlib numpy onnxruntime pandas scipy sklearn spacy tensorflow "
    "torch transformers".split()
)


@dataclass(frozen=True, slots=True)
class Imported:
    """The result of importing a module in a new process.

    `output` is what it printed, `heavy` the large libraries that it imported, and `seconds` the
    processor time.
    """

    error: str = ""
    output: str = ""
    heavy: Sequence[str] = ()
    seconds: float = 0.0


def import_module(subject: Any, module: str) -> Imported:
    """Import a plugin's module in a new process and return what happened."""
    return Imported(**_run(_import, subject, module=module))


def answer_requests(subject: type[Generator], requests: Sequence[Request]) -> list[Any]:
    """Answer requests in a new process and return the fingerprint of each answer.

    Raises RuntimeError with the reason if the process has no answers.
    """
    plain = [replace(request, parameters=dict(request.parameters)) for request in requests]
    result = _run(_answer, subject, requests=plain)
    if "error" in result:
        raise RuntimeError(result["error"])
    return list(result["answers"])


def collect_replies(
    generator: Generator, subject: type[Generator], requests: Sequence[Request]
) -> list[tuple[Output, ...] | str]:
    """Return each request's outputs, or the reason of its refusal, in the requests' order.

    Raises RuntimeError if the generator breaks its contract, as the pipeline defines it.
    """
    registered = registered_object(
        "generator", Plugin("contract", "", "", subject.__module__), subject
    )
    results: dict[str, tuple[Output, ...] | str] = {}
    for answer in run_generator(generator, registered, requests):
        if isinstance(answer, MissingReply):
            raise RuntimeError(answer.reason)
        if not isinstance(answer, Chunk):
            result = answer.outputs if answer.failure is None else answer.failure
            results[answer.request_id] = result
    return [results[request.id] for request in requests]


def fingerprint(reply: tuple[Output, ...] | str) -> Any:
    """Return a JSON value that is equal for two replies if their bytes are equal."""
    if isinstance(reply, str):
        return reply
    return [[o.media_type, hashlib.sha256(o.data).hexdigest(), o.finish_reason] for o in reply]


def _run(task: Callable[..., Any], subject: Any, **arguments: Any) -> dict[str, Any]:
    """Run a function of this module in a new process, and return its result."""
    try:
        file = os.path.abspath(inspect.getfile(subject))
    except (OSError, TypeError):
        file = ""
    plugin = Plugin("contract", "", subject.__qualname__, subject.__module__, file)
    path = [entry if entry else os.getcwd() for entry in sys.path]
    process = subprocess.run(
        [sys.executable, "-P", __file__, task.__name__],
        input=msgspec.json.encode([path, plugin, arguments]),
        capture_output=True,
        # Another hash seed reveals outputs that depend on hash() or on the order of a set.
        env={**os.environ, "PYTHONHASHSEED": "random", "PYTHONPATH": os.pathsep.join(path)},
    )
    try:
        return dict(json.loads(process.stdout.splitlines()[-1]))
    except (ValueError, IndexError):
        last_line = process.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        return {"error": f"the process ended with {process.returncode}: {last_line}"}


def _main() -> None:
    path, plugin, arguments = json.loads(sys.stdin.buffer.read())
    sys.path[:] = path
    with os.fdopen(os.dup(1), "w") as results:  # standard output may be redirected by then
        task = _import if sys.argv[1] == "_import" else _answer
        results.write(json.dumps(task(Plugin(**plugin), **arguments)))


def _load_module(plugin: Plugin, module: str) -> Any:
    """Return a module imported by its name.

    The module of the class is loaded from its file if it cannot be imported by name.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if module != plugin.module or not f"{module}.".startswith(f"{missing}."):
            raise
    return plugin.load_module()


def _import(plugin: Plugin, module: str) -> dict[str, Any]:
    before = set(sys.modules)  # with the core's modules, whose import time does not count
    with tempfile.TemporaryFile() as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
        start = time.process_time()
        error = ""
        try:
            _load_module(plugin, module)
        except BaseException as caught:
            error = describe(caught)
        seconds = time.process_time() - start
        sys.stdout.flush()
        sys.stderr.flush()
        output.seek(0)
        text = output.read().decode(errors="replace")
    heavy = HEAVY & {name.partition(".")[0] for name in set(sys.modules) - before}
    return {"error": error, "output": text, "heavy": sorted(heavy), "seconds": seconds}


def _answer(plugin: Plugin, requests: list[Any]) -> dict[str, Any]:
    try:
        with quiet_stdout():
            cls = operator.attrgetter(plugin.name)(_load_module(plugin, plugin.module))
            generator = cls()
            bound = [
                replace(request, parameters=cls.Parameters(**request.parameters))
                for request in msgspec.convert(requests, list[Request])
            ]
            if bound[0].model is not None:
                generator.load(bound[0].model)
            return {"answers": [*map(fingerprint, collect_replies(generator, cls, bound))]}
    except (Exception, SystemExit) as error:
        return {"error": describe(error)}


if __name__ == "__main__":
    _main()
