"""Policies: versioned YAML files saying which filters run where, and what follows from it.

    policy: house
    version: "3"
    filters:
      - filter: blocklist
        stages: [prompt, output]
        mode: enforce
        time_limit: 10
        thresholds: {insult: {flag: 0.5, block: 0.9}}
        parameters: {category: weapons, terms: [pipe bomb]}

`prompt` covers system prompts too. `mode: observe` records what a filter finds and lets it pass.
A verdict that takes longer than `time_limit`, in seconds, blocks.
A category under `thresholds` is judged by its score alone, whatever the filter decided on it; the
filter's decision stands where it found a category that has no thresholds or no score.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

from muniment.errors import PolicyError, UnknownNameError
from muniment.types import DECISIONS, Decision, Stage, Verdict

ENTRY_POINT_GROUP = "muniment.policies"  # read from metadata; no plugin is imported for it
DEFAULT = "default"

_STAGES = ("prompt", "output")
_MODES = ("enforce", "observe")
_TIME_LIMIT = 30.0  # seconds: a model is loaded within it on a slow machine
_DAY = 86_400


@dataclass(frozen=True, slots=True)
class FilterRule:
    """One entry of a policy: a filter, where it runs, and what its verdicts lead to."""

    filter: str
    stages: tuple[str, ...] = _STAGES
    mode: Literal["enforce", "observe"] = "enforce"
    thresholds: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    time_limit: float = _TIME_LIMIT

    def applies(self, stage: Stage) -> bool:
        """Say whether the filter runs at `stage`."""
        return ("prompt" if stage == "system" else stage) in self.stages

    def action(self, verdict: Verdict) -> Decision:
        """Return what the pipeline does about a verdict: the most severe that this rule asks."""
        if verdict.failure is not None:
            return "block"  # fail closed, in observe mode too: nothing was observed
        return "allow" if self.mode == "observe" else self._judged(verdict)

    def observed_action(self, verdict: Verdict) -> Decision | None:
        """Return what would be done if this rule did not only observe; None where it does it."""
        if verdict.failure is not None or self.mode == "enforce":
            return None
        return self._judged(verdict)

    def _judged(self, verdict: Verdict) -> Decision:
        """Return what follows from the filter's decision and the thresholds of this rule."""
        judged: Decision = verdict.decision
        found = {name for name, score in verdict.categories.items() if score > 0}
        found |= {reason.category for reason in verdict.reasons}
        if found and found <= self.thresholds.keys() & verdict.categories.keys():
            judged = "allow"
        by_score = [
            decision
            for category, score in verdict.categories.items()
            for decision in ("flag", "block")
            if score >= self.thresholds.get(category, {}).get(decision, float("inf"))
        ]
        return max((judged, *cast(list[Decision], by_score)), key=DECISIONS.index)


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy as read; `document` is the file's text, kept as evidence of what was in force."""

    name: str
    version: str
    filters: tuple[FilterRule, ...]
    document: str
    source: str

    @property
    def label(self) -> str:
        """Name and version in one word, as verdicts show it."""
        return f"{self.name}@{self.version}"


NO_POLICY = Policy("none", "1", (), 'policy: none\nversion: "1"\nfilters: []\n', "built in")


def parse(document: str, source: str) -> Policy:
    """Return the policy that a YAML text describes.

    Raises PolicyError for anything unknown or ill-formed: a misspelt key must not silently
    switch a filter off.
    """
    import yaml

    try:
        body = _read_yaml(document)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        raise PolicyError(source, f"is not valid YAML{where}") from None
    except _RepeatedKeyError as error:
        raise PolicyError(source, f"says {error.args[0]!r} twice in one place") from None
    except (ValueError, RecursionError) as error:  # a date that is none, a thousand brackets
        raise PolicyError(source, f"is not valid YAML: {error}") from None
    top = _mapping(source, body, "the policy", {"policy", "version", "filters"})
    name, version = top.get("policy"), top.get("version")
    if not isinstance(name, str) or not name:
        raise PolicyError(source, "needs a name, e.g. `policy: house`")
    if not isinstance(version, str | int) or isinstance(version, bool):
        raise PolicyError(source, 'needs a version, e.g. `version: "1"`')
    rules = top.get("filters", [])
    if not isinstance(rules, list):
        raise PolicyError(source, "`filters` must be a list")
    filters = tuple(_rule(source, index, rule) for index, rule in enumerate(rules, 1))
    return Policy(name, str(version), filters, document, source)


def load(path: Path) -> Policy:
    """Return the policy in a file; raises PolicyError when it cannot be read or parsed."""
    try:
        return parse(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise PolicyError(str(path), f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise PolicyError(str(path), "is not UTF-8 text") from None
    except ValueError as error:  # a NUL character in the path
        raise PolicyError(repr(str(path)), f"cannot be read: {error}") from None


def installed() -> dict[str, list[tuple[str, Path]]]:
    """Return the policies that installed distributions ship: name → (distribution, file).

    An entry point `name = "package:folder/file.yaml"` names a file below the package's folder. A
    file that is not there is listed too: to choose it is an error, not to go without filters.
    """
    found: dict[str, list[tuple[str, Path]]] = {}
    for entry in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP):
        package, _, file = entry.value.partition(":")
        top, *below = package.split(".")  # to find a deeper package would import the ones above
        spec = importlib.util.find_spec(top)
        folder = Path(spec.origin).parent if spec and spec.origin else Path(top)
        row = (entry.dist.name if entry.dist else package, folder.joinpath(*below, file))
        rows = found.setdefault(entry.name, [])
        if row not in rows:
            rows.append(row)
    return found


def choose(wanted: str | None) -> Policy:
    """Return the policy of an installed name or a file; the shipped default when None.

    A name that is installed means what is installed, whatever files lie in the current folder.
    Where nothing is wanted and nothing installed, it is the policy without filters. Raises
    UnknownNameError, or PolicyError when two distributions ship the wanted name.
    """
    objects = installed()
    if wanted == NO_POLICY.name or (wanted is None and DEFAULT not in objects):
        return NO_POLICY
    name = wanted or DEFAULT
    if name in objects:
        rows = objects[name]
        if len(rows) > 1:
            both = " and ".join(distribution for distribution, _ in rows)
            raise PolicyError(name, f"is shipped by {both}; name one file with --policy")
        return load(rows[0][1])
    if not os.path.exists(name) and Path(name).suffix not in (".yaml", ".yml"):
        raise UnknownNameError(
            "policy", name, [*objects, NO_POLICY.name], "or give the path of a YAML file"
        )
    return load(Path(name))


class _RepeatedKeyError(Exception):
    """A mapping has a key twice; YAML readers keep the last, and a filter would be lost."""


def _read_yaml(document: str) -> object:
    """Return what a YAML text holds; raises what the safe loader does, and _RepeatedKeyError."""
    import yaml

    class Loader(yaml.SafeLoader):
        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            keys = [(key.tag, key.value) for key, _ in node.value if key.id == "scalar"]
            for _, key in (pair for pair in keys if keys.count(pair) > 1):
                raise _RepeatedKeyError(key)
            return super().construct_mapping(node, deep)

    return yaml.load(document, Loader)


def _rule(source: str, index: int, body: object) -> FilterRule:
    where = f"filter {index}"
    keys = {"filter", "stages", "mode", "thresholds", "parameters", "time_limit"}
    rule = _mapping(source, body, where, keys)
    name = rule.get("filter")
    if not isinstance(name, str):
        raise PolicyError(source, f"{where} needs the name of a filter, e.g. `filter: blocklist`")
    stages = rule.get("stages", list(_STAGES))
    if not isinstance(stages, list) or not stages or any(item not in _STAGES for item in stages):
        raise PolicyError(source, f"{where}: `stages` must list prompt, output or both")
    mode = rule.get("mode", "enforce")
    if mode not in _MODES:
        raise PolicyError(source, f"{where}: `mode` must be enforce or observe, not {mode!r}")
    thresholds = _mapping(source, rule.get("thresholds", {}), f"{where}: `thresholds`")
    for category, limits in thresholds.items():
        at = f"{where}: thresholds of {category}"
        if not _mapping(source, limits, at, {"flag", "block"}):
            raise PolicyError(source, f"{at} must say `flag`, `block` or both")
        for value in limits.values():
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
                raise PolicyError(source, f"{at} must be numbers from 0 to 1, not {value!r}")
    parameters = _mapping(source, rule.get("parameters", {}), f"{where}: `parameters`")
    limit = rule.get("time_limit", _TIME_LIMIT)
    if isinstance(limit, bool) or not isinstance(limit, int | float) or not 0 < limit <= _DAY:
        raise PolicyError(
            source, f"{where}: `time_limit` must be seconds, above 0 and up to a day, not {limit!r}"
        )
    return FilterRule(name, tuple(stages), mode, thresholds, parameters, float(limit))


def _mapping(
    source: str, body: object, where: str, allowed: set[str] | None = None
) -> dict[str, Any]:
    if not isinstance(body, dict) or any(not isinstance(key, str) for key in body):
        raise PolicyError(source, f"{where} must be a mapping of names to values")
    unknown = sorted(body.keys() - allowed) if allowed is not None else []
    if unknown:
        known = ", ".join(sorted(allowed or ()))
        raise PolicyError(source, f"{where} has the unknown key {unknown[0]!r}; known: {known}")
    return body
