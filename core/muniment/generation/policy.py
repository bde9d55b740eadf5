"""Policies: versioned YAML files that select filters, stages, thresholds and actions.

    policy: support-desk
    version: "3"
    filters:
      - filter: blocklist
        stages: [prompt, output]
        mode: enforce
        time_limit: 10
        thresholds: {insult: {flag: 0.5, block: 0.9}}
        parameters: {category: weapons, terms: [pipe bomb]}

The stage `prompt` includes system prompts. `mode: observe` records a filter's verdict without
applying it. `time_limit` is in seconds, and a later verdict blocks. A category under `thresholds`
is decided by its score alone, regardless of the filter's decision. The filter's decision applies
if it found a category without thresholds or without a score.
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

ENTRY_POINT_GROUP = "muniment.policies"  # read from metadata, without importing a plugin
DEFAULT = "default"

_STAGES = ("prompt", "output")
_MODES = ("enforce", "observe")
_TIME_LIMIT = 30.0  # seconds; a slow machine loads a filter's model in this time
_DAY = 86_400


@dataclass(frozen=True, slots=True)
class FilterRule:
    """One rule of a policy, with a filter, its stages and the actions for its verdicts."""

    filter: str
    stages: tuple[str, ...] = _STAGES
    mode: Literal["enforce", "observe"] = "enforce"
    thresholds: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    time_limit: float = _TIME_LIMIT

    def applies(self, stage: Stage) -> bool:
        """Return whether the filter runs at `stage`."""
        return ("prompt" if stage == "system" else stage) in self.stages

    def action(self, verdict: Verdict) -> Decision:
        """Return the action that the pipeline applies for a verdict."""
        if verdict.failure is not None:
            return "block"  # fail closed, also in observe mode, because nothing was observed
        return "allow" if self.mode == "observe" else self._enforced_action(verdict)

    def observed_action(self, verdict: Verdict) -> Decision | None:
        """Return the action that enforcing this rule would apply, or None if it is enforced."""
        if verdict.failure is not None or self.mode == "enforce":
            return None
        return self._enforced_action(verdict)

    def _enforced_action(self, verdict: Verdict) -> Decision:
        """Return the most severe of the filter's decision and the thresholds' decisions."""
        by_filter: Decision = verdict.decision
        categories = {name for name, score in verdict.categories.items() if score > 0}
        categories |= {reason.category for reason in verdict.reasons}
        # If every category has a score and thresholds, the scores alone decide.
        if categories and categories <= self.thresholds.keys() & verdict.categories.keys():
            by_filter = "allow"
        by_score = [
            decision
            for category, score in verdict.categories.items()
            for decision in ("flag", "block")
            if score >= self.thresholds.get(category, {}).get(decision, float("inf"))
        ]
        return max((by_filter, *cast(list[Decision], by_score)), key=DECISIONS.index)


@dataclass(frozen=True, slots=True)
class Policy:
    """A parsed policy. `document` is the file's text, which is recorded as evidence."""

    name: str
    version: str
    filters: tuple[FilterRule, ...]
    document: str
    source: str

    @property
    def label(self) -> str:
        """The name and version of the policy as `NAME@VERSION`, as recorded in verdicts."""
        return f"{self.name}@{self.version}"


NO_POLICY = Policy("none", "1", (), 'policy: none\nversion: "1"\nfilters: []\n', "built in")


def parse_policy(document: str, source: str) -> Policy:
    """Return the policy that a YAML text describes.

    `source` is the file name in error messages. Raises PolicyError for an unknown key or an
    invalid value, because a misspelt key must not silently disable a filter.
    """
    import yaml

    try:
        body = _read_yaml(document)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        raise PolicyError(source, f"is not valid YAML{where}") from None
    except _RepeatedKeyError as error:
        raise PolicyError(source, f"contains the key {error.args[0]!r} twice") from None
    except (ValueError, RecursionError) as error:  # an impossible date, deeply nested brackets
        raise PolicyError(source, f"is not valid YAML: {error}") from None
    fields = _mapping(source, body, "the policy", {"policy", "version", "filters"})
    name, version = fields.get("policy"), fields.get("version")
    if not isinstance(name, str) or not name:
        raise PolicyError(source, "needs a name, e.g. `policy: support`")
    if not isinstance(version, str | int) or isinstance(version, bool):
        raise PolicyError(source, 'needs a version, e.g. `version: "1"`')
    rules = fields.get("filters", [])
    if not isinstance(rules, list):
        raise PolicyError(source, "`filters` must be a list")
    filters = tuple(_rule(source, index, rule) for index, rule in enumerate(rules, 1))
    return Policy(name, str(version), filters, document, source)


def load_policy(path: Path) -> Policy:
    """Return the policy in a file. Raise PolicyError if it cannot be read or parsed."""
    try:
        return parse_policy(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise PolicyError(str(path), f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise PolicyError(str(path), "is not UTF-8 text") from None
    except ValueError as error:  # a NUL character in the path
        raise PolicyError(repr(str(path)), f"cannot be read: {error}") from None


def installed_policies() -> dict[str, list[tuple[str, Path]]]:
    """Return the policies of installed distributions, as (distribution, file) pairs by name.

    An entry point `name = "package:folder/file.yaml"` names a file relative to the package's
    folder. A missing file is listed too, so that its use raises an error instead of running
    without filters.
    """
    policies: dict[str, list[tuple[str, Path]]] = {}
    for entry in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP):
        package, _, file = entry.value.partition(":")
        # Only the top package is looked up: find_spec of a subpackage imports its parents.
        top, *subpackages = package.split(".")
        spec = importlib.util.find_spec(top)
        folder = Path(spec.origin).parent if spec and spec.origin else Path(top)
        row = (entry.dist.name if entry.dist else package, folder.joinpath(*subpackages, file))
        rows = policies.setdefault(entry.name, [])
        if row not in rows:
            rows.append(row)
    return policies


def resolve_policy(wanted: str | None) -> Policy:
    """Return the policy with an installed name or in a file. None selects the default policy.

    An installed name takes precedence over a file with that name in the current folder. If
    `wanted` is None and no default policy is installed, return the policy without filters.
    Raises UnknownNameError, or PolicyError if two distributions provide the name.
    """
    policies = installed_policies()
    if wanted == NO_POLICY.name or (wanted is None and DEFAULT not in policies):
        return NO_POLICY
    name = wanted or DEFAULT
    if name in policies:
        rows = policies[name]
        if len(rows) > 1:
            both = " and ".join(distribution for distribution, _ in rows)
            raise PolicyError(
                name, f"is provided by {both}; give the path of one file with --policy"
            )
        return load_policy(rows[0][1])
    if not os.path.exists(name) and Path(name).suffix not in (".yaml", ".yml"):
        raise UnknownNameError(
            "policy", name, [*policies, NO_POLICY.name], "or give the path of a YAML file"
        )
    return load_policy(Path(name))


class _RepeatedKeyError(Exception):
    """A mapping that contains a key twice.

    PyYAML keeps only the last value, which would silently drop a filter.
    """


def _read_yaml(document: str) -> object:
    """Return the parsed YAML document. Raise YAMLError, ValueError or _RepeatedKeyError."""
    import yaml

    class Loader(yaml.SafeLoader):
        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            keys = [(key.tag, key.value) for key, _ in node.value if key.id == "scalar"]
            for _, key in (pair for pair in keys if keys.count(pair) > 1):
                raise _RepeatedKeyError(key)
            return super().construct_mapping(node, deep)

    return yaml.load(document, Loader)


def _rule(source: str, index: int, body: object) -> FilterRule:
    """Return the rule at position `index` (from 1) of the list `filters`."""
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
        field_name = f"{where}: thresholds of {category}"
        if not _mapping(source, limits, field_name, {"flag", "block"}):
            raise PolicyError(source, f"{field_name} must contain `flag`, `block` or both")
        for value in limits.values():
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
                raise PolicyError(
                    source, f"{field_name} must be numbers from 0 to 1, not {value!r}"
                )
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
    """Return `body` if it is a mapping with text keys, all of them in `allowed` unless None."""
    if not isinstance(body, dict) or any(not isinstance(key, str) for key in body):
        raise PolicyError(source, f"{where} must be a mapping of names to values")
    unknown = sorted(body.keys() - allowed) if allowed is not None else []
    if unknown:
        known = ", ".join(sorted(allowed or ()))
        raise PolicyError(source, f"{where} has the unknown key {unknown[0]!r}; known: {known}")
    return body
