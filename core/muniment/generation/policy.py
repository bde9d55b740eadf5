"""Policies: versioned YAML files that select filters, stages, thresholds and actions.

    policy: support-desk
    version: "3"
    filters:
      - filter: blocklist
        name: weapons
        stages: [prompt, output]
        mode: enforce
        time_limit: 10
        thresholds: {insult: {flag: 0.5, block: 0.9}}
        parameters: {category: weapons, terms: [pipe bomb]}

The stage `prompt` includes system prompts and inputs, and `input` has only inputs. The stage
`output` checks a list item by item and then the selection, and `item` has only the items of lists.
An output that can be a list and that no plugin reads is blocked by rules for `item`. `mode:
observe` records a filter's verdict without applying it. `time_limit` is in seconds, and a later
verdict blocks. A category under `thresholds` is decided by its score alone, regardless of the
filter's decision. The filter's decision applies if it found a category without thresholds or
without a score.

The key `unread: block` beside `filters` blocks content that no filter of its stage can read. An
example is an image if the filters for outputs read only text. The default is `allow`. Content of a
stage without filters is always allowed.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import msgspec
from msgspec import Meta

from muniment.errors import PolicyError, PromptError, UnknownNameError, YamlError, explain_invalid
from muniment.names import normal_name
from muniment.plugins.discovery import policy_entries
from muniment.types.policies import policy_digest
from muniment.types.verdicts import DECISIONS, Decision, Stage, Verdict
from muniment.validation import check_name, refuse_empty
from muniment.yaml_text import parse_yaml

DEFAULT = "default"

_POLICY_HINTS = {
    "policy": "add a name, e.g. `policy: support`",
    "version": 'add a version, e.g. `version: "1"`',
    "filters": "use a list of filters; `filters: []` runs none",
    "unread": "use allow or block",
}
# Text that was moved into a file would escape a policy that judges only prompts.
_WIDER_STAGES: Mapping[Stage, str] = {"system": "prompt", "input": "prompt", "item": "output"}
_RULE_HINTS = {
    "filter": "add the name of a filter, e.g. `filter: blocklist`",
    "name": "use a text, and another one for each rule",
    "stages": "use a list of prompt, input, output and item",
    "mode": "use enforce or observe",
    "thresholds": "use numbers from 0 to 1 as `flag`, `block` or both of a category, e.g. "
    "`thresholds: {insult: {block: 0.9}}`",
    "parameters": "use a mapping of names to values",
    "time_limit": "use seconds, above 0 and up to a day",
}

_Limits = dict[Literal["flag", "block"], Annotated[float, Meta(ge=0, le=1)]]


class FilterRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One rule of a policy, with a filter, its stages and the actions for its verdicts.

    `name` is the rule's name in reports. A policy gives each rule without a name the filter's.
    """

    filter: str
    stages: Annotated[
        tuple[Literal["prompt", "input", "output", "item"], ...], Meta(min_length=1)
    ] = (
        "prompt",
        "output",
    )
    mode: Literal["enforce", "observe"] = "enforce"
    thresholds: Mapping[str, Annotated[_Limits, Meta(min_length=1)]] = {}
    parameters: Mapping[str, Any] = {}
    # A slow machine loads a filter's model in the default time. The maximum is a day.
    time_limit: Annotated[float, Meta(gt=0, le=86_400)] = 30.0
    name: Annotated[str, Meta(min_length=1, max_length=80)] | None = None

    def __post_init__(self) -> None:
        """Set the normal form of the filter's name."""
        msgspec.structs.force_setattr(self, "filter", normal_name(self.filter))

    def applies(self, stage: Stage) -> bool:
        """Return whether the filter runs at `stage`."""
        return stage in self.stages or _WIDER_STAGES.get(stage) in self.stages

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
        if not self.thresholds:
            return verdict.decision
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
    """A parsed policy. `document` is the file's text, which is recorded as evidence.

    `unread` is the action for content that no filter of its stage can read.
    """

    name: str
    version: str
    filters: tuple[FilterRule, ...]
    document: str
    source: str
    unread: Literal["allow", "block"] = "allow"

    @property
    def rule_names(self) -> tuple[str, ...]:
        """The name of each rule: its own, or the filter's, with a number if that is taken."""
        names: list[str] = [rule.name or "" for rule in self.filters]
        for position, rule in enumerate(self.filters):
            numbers = itertools.chain([""], (f"-{count}" for count in itertools.count(2)))
            names[position] = rule.name or next(
                name for number in numbers if (name := rule.filter + number) not in names
            )
        return tuple(names)

    @property
    def label(self) -> str:
        """The name and version of the policy as `NAME@VERSION`, as recorded in verdicts."""
        return f"{self.name}@{self.version}"

    @property
    def digest(self) -> str:
        """The digest of the text, as recorded."""
        return policy_digest(self.document)


NO_POLICY = Policy("none", "1", (), 'policy: none\nversion: "1"\nfilters: []\n', "built in")


def parse_policy(document: str, source: str) -> Policy:
    """Return the policy that a YAML text describes.

    `source` is the file name in error messages. Raises PolicyError for an unknown key or an
    invalid value, because a misspelt key must not silently disable a filter.
    """
    try:
        body = parse_yaml(document)
    except YamlError as error:
        raise PolicyError(source, str(error)) from None
    if not isinstance(body, dict):
        has_value = any(line.partition("#")[0].strip() for line in document.splitlines())
        wrong = "must be a mapping" if has_value else "is empty"
        raise PolicyError(
            source, f"the file {wrong}; write its name (policy), version and list of filters"
        )
    try:
        fields = msgspec.convert(body, _PolicyFile)
    except msgspec.ValidationError as error:
        hints = _RULE_HINTS if "$.filters[" in str(error) else _POLICY_HINTS
        raise PolicyError(source, explain_invalid(error, hints)) from None
    version = str(fields.version)
    policy = Policy(fields.policy, version, fields.filters, document, source, fields.unread)
    names = [rule.name for rule in fields.filters if rule.name is not None]
    _check_names(source, policy, names)
    for position, rule in enumerate(fields.filters):
        for category, limits in rule.thresholds.items():
            if limits.get("flag", 0) > limits.get("block", 1):
                raise PolicyError(
                    source,
                    f"filters[{position}].thresholds has a flag above the block of {category!r}, "
                    "so nothing is flagged; use a lower flag",
                )
    for name in names:
        if names.count(name) > 1:
            raise PolicyError(source, f"has two rules named {name!r}; rename one")
    return policy


def _check_names(source: str, policy: Policy, names: list[str]) -> None:
    """Raise PolicyError for a name or version that cannot be recorded or printed."""
    try:
        check_name("name (policy)", policy.name)
        check_name("version", policy.version)
        for name in names:
            check_name("name of a rule", name)
    except PromptError as error:
        raise PolicyError(source, str(error)) from None


def load_policy(path: Path) -> Policy:
    """Return the policy in a file. Raise PolicyError if it cannot be read or parsed."""
    try:
        return parse_policy(path.read_text(encoding="utf-8-sig"), str(path))
    except OSError as error:
        raise PolicyError(
            str(path), f"cannot be read: {error.strerror}; give the path of a YAML file"
        ) from None
    except UnicodeDecodeError as error:
        raise PolicyError(
            str(path), f"is not UTF-8 text (at byte {error.start + 1}); save it as UTF-8"
        ) from None
    except ValueError as error:  # a NUL character in the path
        raise PolicyError(repr(str(path)), f"cannot be read: {error}") from None


def installed_policies() -> dict[str, list[tuple[str, Path]]]:
    """Return the policies of installed distributions, as (distribution, file) pairs by name.

    An entry point `name = "package:folder/file.yaml"` names a file relative to the package's
    folder. A missing file is listed too, so that its use raises an error instead of running
    without filters.
    """
    policies: dict[str, list[tuple[str, Path]]] = {}
    for distribution, entry in policy_entries():
        package, _, file = entry.value.partition(":")
        # Only the top package is looked up: find_spec of a subpackage imports its parents.
        top, *subpackages = package.split(".")
        spec = importlib.util.find_spec(top)
        folder = Path(spec.origin).parent if spec and spec.origin else Path(top)
        row = (distribution, folder.joinpath(*subpackages, file))
        rows = policies.setdefault(entry.name, [])
        if row not in rows:
            rows.append(row)
    return policies


def resolve_policy(reference: str | None) -> Policy:
    """Return the policy with an installed name or in a file. None selects the default policy.

    An installed name takes precedence over a file with that name in the current folder. If
    `reference` is None and no default policy is installed, return the policy without filters.
    Raises UsageError for an empty name, UnknownNameError, or PolicyError if two distributions
    provide the name.
    """
    refuse_empty(policy=reference)
    policies = installed_policies()
    if reference == NO_POLICY.name or (reference is None and DEFAULT not in policies):
        return NO_POLICY
    name = reference or DEFAULT
    if name in policies:
        rows = policies[name]
        if len(rows) > 1:
            both = " and ".join(distribution for distribution, _ in rows)
            raise PolicyError(
                name, f"is provided by {both}; give the path of one file with --policy"
            )
        return load_policy(rows[0][1])
    if not os.path.exists(name):
        hint = "or give the path of a YAML file"
        if Path(name).suffix in (".yaml", ".yml"):
            hint = "there is no file at this path either"
        raise UnknownNameError("policy", name, [*policies, NO_POLICY.name], hint)
    return load_policy(Path(name))


def policy_reference(reference: str) -> str:
    """Return the installed name that a reference is, or else the absolute path of the file."""
    if reference == NO_POLICY.name or reference in installed_policies():
        return reference
    return os.path.abspath(reference)


class _PolicyFile(msgspec.Struct, forbid_unknown_fields=True):
    policy: Annotated[str, Meta(min_length=1, max_length=200)]
    version: Annotated[str, Meta(min_length=1, max_length=50)] | int
    filters: tuple[FilterRule, ...]
    unread: Literal["allow", "block"] = "allow"
