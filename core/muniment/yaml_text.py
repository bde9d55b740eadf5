"""Parse YAML that people write, without the surprises of YAML 1.1."""

from __future__ import annotations

import contextlib
import re
from typing import Any

from muniment.errors import YamlError

# The scalars that are not texts: their kind, their form and first characters.
_SCALARS = (
    ("bool", r"^(?:true|false)$", "tf"),
    ("null", r"^(?:null|~|)$", ["n", "~", ""]),
    ("int", r"^(?:-?(?:0|[1-9][0-9]*))$", "-0123456789"),
    ("float", r"^(?:-?(?:0|[1-9][0-9]*)\.[0-9]+)$", "-0123456789"),
)


def parse_yaml(document: str) -> object:
    """Return the parsed YAML document. Raise YamlError for anything ambiguous.

    A key that occurs twice is refused, and so is an alias: a few lines of aliases can expand to
    gigabytes. Only `true`, `false`, `null` and plain decimal numbers are not texts, as in YAML 1.2.
    In YAML 1.1, which PyYAML reads by default, `no` is false, `010` is 8 and `12:30` is 750.

    Example:
        >>> muniment.parse_yaml("policy: team\\nversion: 1")
        {'policy': 'team', 'version': 1}
    """
    import yaml

    class Loader(yaml.SafeLoader):
        def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
            if self.check_event(yaml.AliasEvent):
                raise YamlError("contains an alias (*NAME); repeat the value")
            return super().compose_node(parent, index)

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            # PyYAML keeps only the last value of a key, which would silently drop what was written.
            keys = [(key.tag, key.value) for key, _ in node.value if key.id == "scalar"]
            for _, key in (pair for pair in keys if keys.count(pair) > 1):
                raise YamlError(f"contains the key {key!r} twice; remove one")
            return super().construct_mapping(node, deep)

    Loader.yaml_implicit_resolvers = {}
    for kind, pattern, first in _SCALARS:
        Loader.add_implicit_resolver(f"tag:yaml.org,2002:{kind}", re.compile(pattern), list(first))
    try:
        return yaml.load(document, Loader)
    except yaml.YAMLError as error:
        raise YamlError(_problem(document, error)) from None
    except ValueError:  # a number of thousands of digits
        raise YamlError("contains a number that is too long; shorten it") from None
    except RecursionError:
        raise YamlError("is nested too deeply; remove brackets") from None


def _problem(document: str, error: Any) -> str:
    """Return a sentence about a YAMLError, with the line to correct."""
    mark = getattr(error, "problem_mark", None)
    problem = str(getattr(error, "problem", None) or "it cannot be read").removeprefix("but ")
    line = mark.line + 1 if mark else 1
    if mark is not None and mark.index >= len(document.rstrip()):  # where the text ends
        line = min(line, document.rstrip().count("\n") + 1)
        if "quoted scalar" in str(getattr(error, "context", None)):
            line, problem = error.context_mark.line + 1, "a quote that is not closed"
        elif bracket := _open_bracket(document):
            line, problem = bracket, "a bracket that is not closed"
    if mark is None and isinstance(position := getattr(error, "position", None), int):
        line = document.count("\n", 0, position) + 1
        problem = f"found the character {document[position]!r}, which YAML does not allow"
    return f"is not valid YAML in line {line}: {problem}; correct this line, or quote its text"


def _open_bracket(document: str) -> int | None:
    """Return the line of the last bracket that is not closed, from 1, or None."""
    import yaml

    lines: list[int] = []
    with contextlib.suppress(yaml.YAMLError):
        for token in yaml.scan(document, yaml.SafeLoader):
            if isinstance(token, yaml.FlowSequenceStartToken | yaml.FlowMappingStartToken):
                lines.append(token.start_mark.line + 1)
            elif isinstance(token, yaml.FlowSequenceEndToken | yaml.FlowMappingEndToken):
                lines.pop()
    return lines[-1] if lines else None
