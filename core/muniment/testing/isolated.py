"""Run a plugin in another process, for the contract suites.

This module contains the caller and the program of that process. The program imports the plugin's
class by its module's name, or else from its module's file.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import importlib.util
import inspect
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from muniment.hookspecs import Generator
from muniment.plugins.invocation import MissingReply, run_generator
from muniment.plugins.registry import Plugin, describe, quiet_stdout, registered_object
from muniment.types import Chunk, Model, Output, Request

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
    heavy: tuple[str, ...] = ()
    seconds: float = 0.0


def import_module(subject: Any, module: str) -> Imported:
    """Import a plugin's module in a new process and return what happened."""
    result = _run({"do": "import", "module": module, **_location(subject)})
    return Imported(**{**result, "heavy": tuple(result.get("heavy", ()))})


def answer_requests(subject: type[Generator], requests: Sequence[Request]) -> list[Any]:
    """Answer requests in a new process and return the fingerprint of each answer.

    Raises RuntimeError with the reason if the process has no answers.
    """
    fields = [
        {
            "prompt": request.prompt,
            "seed": request.seed,
            "parameters": dict(request.parameters),
            "model": request.model and dataclasses.asdict(request.model),
        }
        for request in requests
    ]
    result = _run({"do": "answer", "requests": fields, **_location(subject)})
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


def _location(subject: Any) -> dict[str, Any]:
    """Return the module, qualified name and file of a class."""
    try:
        file = os.path.abspath(inspect.getfile(subject))
    except (OSError, TypeError):
        file = ""
    return {"home": subject.__module__, "class": subject.__qualname__, "file": file}


def _run(question: Mapping[str, Any]) -> dict[str, Any]:
    """Run this module in a new process and return its answer to the question."""
    path = [entry if entry else os.getcwd() for entry in sys.path]
    process = subprocess.run(
        [sys.executable, "-P", __file__],
        input=json.dumps({"path": path, **question}, default=list).encode(),
        capture_output=True,
        # Another hash seed reveals outputs that depend on hash() or on the order of a set.
        env={**os.environ, "PYTHONHASHSEED": "random", "PYTHONPATH": os.pathsep.join(path)},
    )
    try:
        return dict(json.loads(process.stdout.splitlines()[-1]))
    except (ValueError, IndexError):
        last_line = process.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        return {"error": f"the process ended with {process.returncode}: {last_line}"}


def _import(question: Mapping[str, Any]) -> dict[str, Any]:
    # Import the core's modules first, so that their import time does not count.
    for name in ("hookspecs", "parameters", "types", "errors"):
        importlib.import_module(f"muniment.{name}")
    before = set(sys.modules)
    with tempfile.TemporaryFile() as output:
        saved = [(number, os.dup(number)) for number in (1, 2)]
        start = time.process_time()
        try:
            for number, _ in saved:
                os.dup2(output.fileno(), number)
            _module(question["module"], question)
            error = ""
        except BaseException as caught:
            error = describe(caught)
        finally:
            seconds = time.process_time() - start
            sys.stdout.flush()
            sys.stderr.flush()
            for number, copy in saved:
                os.dup2(copy, number)
        output.seek(0)
        text = output.read().decode(errors="replace")
    new = {name.partition(".")[0] for name in set(sys.modules) - before}
    heavy = sorted(new & HEAVY)
    return {"error": error, "output": text, "heavy": heavy, "seconds": seconds}


def _answer(question: Mapping[str, Any]) -> dict[str, Any]:
    try:
        with quiet_stdout():
            cls: Any = _module(question["home"], question)
            for name in question["class"].split("."):
                cls = getattr(cls, name)
            generator = cls()
            requests = [
                Request(
                    f"isolated-{number}",
                    fields["prompt"],
                    fields["seed"],
                    cls.Parameters(**fields["parameters"]),
                    model=None if fields["model"] is None else Model(**fields["model"]),
                )
                for number, fields in enumerate(question["requests"])
            ]
            if requests[0].model is not None:
                generator.load(requests[0].model)
            return {"answers": [*map(fingerprint, collect_replies(generator, cls, requests))]}
    except (Exception, SystemExit) as error:
        return {"error": describe(error)}


def _module(name: str, question: Mapping[str, Any]) -> Any:
    """Return a module imported by its name.

    The module of the class is loaded from its file if it cannot be imported by name.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if name != question["home"] or not f"{name}.".startswith(f"{missing}."):
            raise
    spec = importlib.util.spec_from_file_location(name, question["file"])
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _main() -> None:
    question = json.loads(sys.stdin.buffer.read())
    sys.path[:] = question["path"]
    result = {"import": _import, "answer": _answer}[question["do"]](question)
    sys.stdout.buffer.write(json.dumps(result).encode() + b"\n")


if __name__ == "__main__":
    _main()
