"""Checks of the values of settings, which are made before a value is stored."""

from __future__ import annotations

import os
from pathlib import Path

from muniment.errors import ProvenanceError, UsageError
from muniment.generation.assessment import PolicyRunner
from muniment.generation.evaluation import Evaluators
from muniment.generation.policy import policy_reference, resolve_policy
from muniment.models.registry import Models
from muniment.plugins.objects import instantiate
from muniment.plugins.registry import Plugins


def resolved_setting(key: str, value: str, plugins: Plugins, models: Models) -> str:
    """Return the value to store for a setting, with an absolute path in place of a relative one.

    A path means the same in every working directory then. Raises UsageError, ModelError or
    PluginError for a value that a generation would refuse. The hub id of a model is not looked up.
    """
    kind, _, name = key.partition(".")
    if kind == "generator":
        return plugins.find("generator", value).name
    elif kind == "model":
        generator = instantiate(plugins.find("generator", name))
        if not generator.uses_model:
            raise UsageError(f"generator {name} does not use a model; remove this setting")
        return models.reference(value, name, generator)
    elif kind == "policy":
        PolicyRunner(resolve_policy(value), plugins)
        return policy_reference(value)
    elif kind in ("certificate", "certificate_key", "trusted_root"):
        path = Path(os.path.expanduser(value)).absolute()
        if not path.is_file():
            raise UsageError(f"there is no file {path}; write the path of a file in PEM")
        from muniment.provenance.certificates import check_setting

        try:
            check_setting(kind, path)
        except ProvenanceError as error:
            raise UsageError(str(error)) from None
        return str(path)
    elif kind == "evaluators":
        Evaluators(plugins, models, [value])
    return value
