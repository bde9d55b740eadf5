"""What a plugin does in a process of its own: this module is both sides, caller and program.

The class is found there by its module's name on the same path, else in its module's file.
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
from muniment.plugins.invocation import MissingReply, answers
from muniment.plugins.registry import Plugin, describe, quiet_stdout, registered_object
from muniment.types import Chunk, Model, Output, Request

HEAVY = frozenset(
    "PIL cv2 diffusers jax matplotlib numpy onnxruntime pandas scipy sklearn spacy tensorflow "
    "torch transformers".split()
)


@dataclass(frozen=True, slots=True)
class Imported:
    """What importing a module did: heavy libraries it brought, what it printed, seconds."""

    error: str = ""
    said: str = ""
    heavy: tuple[str, ...] = ()
    seconds: float = 0.0


def imported(subject: type, module: str) -> Imported:
    """Import a plugin's module in a fresh process and say what that did."""
    found = _ask({"do": "import", "module": module, **_whereabouts(subject)})
    return Imported(**{**found, "heavy": tuple(found.get("heavy", ()))})


def answered(subject: type[Generator], requests: Sequence[Request]) -> list[Any]:
    """Answer requests in a fresh process; return what `fingerprint` makes of each answer.

    Raises RuntimeError saying why there are no answers.
    """
    asked = [
        {
            "prompt": request.prompt,
            "seed": request.seed,
            "parameters": dict(request.parameters),
            "model": request.model and dataclasses.asdict(request.model),
        }
        for request in requests
    ]
    found = _ask({"do": "answer", "requests": asked, **_whereabouts(subject)})
    if "error" in found:
        raise RuntimeError(found["error"])
    return list(found["answers"])


def replies(
    generator: Generator, subject: type[Generator], requests: Sequence[Request]
) -> list[tuple[Output, ...] | str]:
    """Return each request's outputs, or why it could not be met, in the requests' order.

    Raises RuntimeError where the generator broke its contract, as the pipeline would see it.
    """
    registered = registered_object(
        "generator", Plugin("contract", "", "", subject.__module__), subject
    )
    found: dict[str, tuple[Output, ...] | str] = {}
    for answer in answers(generator, registered, requests):
        if isinstance(answer, MissingReply):
            raise RuntimeError(answer.reason)
        if not isinstance(answer, Chunk):
            found[answer.request_id] = answer.outputs if answer.failure is None else answer.failure
    return [found[request.id] for request in requests]


def fingerprint(reply: tuple[Output, ...] | str) -> Any:
    """Return what two processes compare: JSON that is equal where the bytes are."""
    if isinstance(reply, str):
        return reply
    return [[o.media_type, hashlib.sha256(o.data).hexdigest(), o.finish_reason] for o in reply]


def _whereabouts(subject: type) -> dict[str, Any]:
    try:
        file = os.path.abspath(inspect.getfile(subject))
    except (OSError, TypeError):
        file = ""
    return {"home": subject.__module__, "class": subject.__qualname__, "file": file}


def _ask(question: Mapping[str, Any]) -> dict[str, Any]:
    path = [entry if entry else os.getcwd() for entry in sys.path]
    done = subprocess.run(
        [sys.executable, "-P", __file__],
        input=json.dumps({"path": path, **question}, default=list).encode(),
        capture_output=True,
        # What hangs on the order of a set, or on hash(), shows only under another hash seed.
        env={**os.environ, "PYTHONHASHSEED": "random", "PYTHONPATH": os.pathsep.join(path)},
    )
    try:
        return dict(json.loads(done.stdout.splitlines()[-1]))
    except (ValueError, IndexError):
        last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        return {"error": f"the process ended with {done.returncode}: {last}"}


def _import(question: Mapping[str, Any]) -> dict[str, Any]:
    for name in ("hookspecs", "parameters", "types", "errors"):  # what a plugin may well import
        importlib.import_module(f"muniment.{name}")
    before = set(sys.modules)
    with tempfile.TemporaryFile() as said:
        saved = [(number, os.dup(number)) for number in (1, 2)]
        start = time.process_time()
        try:
            for number, _ in saved:
                os.dup2(said.fileno(), number)
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
        said.seek(0)
        text = said.read().decode(errors="replace")
    new = {name.partition(".")[0] for name in set(sys.modules) - before}
    heavy = sorted(new & HEAVY)
    return {"error": error, "said": text, "heavy": heavy, "seconds": seconds}


def _answer(question: Mapping[str, Any]) -> dict[str, Any]:
    try:
        with quiet_stdout():
            found: Any = _module(question["home"], question)
            for name in question["class"].split("."):
                found = getattr(found, name)
            generator = found()
            requests = [
                Request(
                    f"elsewhere-{number}",
                    asked["prompt"],
                    asked["seed"],
                    found.Parameters(**asked["parameters"]),
                    model=None if asked["model"] is None else Model(**asked["model"]),
                )
                for number, asked in enumerate(question["requests"])
            ]
            if requests[0].model is not None:
                generator.load(requests[0].model)
            return {"answers": [*map(fingerprint, replies(generator, found, requests))]}
    except (Exception, SystemExit) as error:
        return {"error": describe(error)}


def _module(name: str, question: Mapping[str, Any]) -> Any:
    """Import a module by its name, or the class's own from its file where it has no name there."""
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
    found = {"import": _import, "answer": _answer}[question["do"]](question)
    sys.stdout.buffer.write(json.dumps(found).encode() + b"\n")


if __name__ == "__main__":
    _main()
