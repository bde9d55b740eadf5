"""Muniment generates text, images and recommendations, and keeps the evidence.

The names exported here are the public API. Plugins and programs import nothing below it. Names
are imported on first use, so that `import muniment` is fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from muniment._lazy import lazy_attributes
from muniment._version import __version__ as __version__

if TYPE_CHECKING:
    from muniment.errors import AmbiguousNameError as AmbiguousNameError
    from muniment.errors import ConfigError as ConfigError
    from muniment.errors import ModelError as ModelError
    from muniment.errors import ModelTermsWarning as ModelTermsWarning
    from muniment.errors import MunimentError as MunimentError
    from muniment.errors import ParameterError as ParameterError
    from muniment.errors import PluginError as PluginError
    from muniment.errors import PolicyError as PolicyError
    from muniment.errors import PromptError as PromptError
    from muniment.errors import SeedError as SeedError
    from muniment.errors import StoreError as StoreError
    from muniment.errors import UnknownNameError as UnknownNameError
    from muniment.errors import UsageError as UsageError
    from muniment.generation.requests import GenerationSpec as GenerationSpec
    from muniment.hookspecs import Evaluator as Evaluator
    from muniment.hookspecs import Filter as Filter
    from muniment.hookspecs import Generator as Generator
    from muniment.hookspecs import ModelProvider as ModelProvider
    from muniment.hookspecs import Register as Register
    from muniment.hookspecs import hookimpl as hookimpl
    from muniment.parameters import Parameters as Parameters
    from muniment.parameters import param as param
    from muniment.session import Session as Session
    from muniment.session import open as open
    from muniment.store import Query as Query
    from muniment.types import Chunk as Chunk
    from muniment.types import Content as Content
    from muniment.types import Difference as Difference
    from muniment.types import Failure as Failure
    from muniment.types import Generation as Generation
    from muniment.types import Measure as Measure
    from muniment.types import Model as Model
    from muniment.types import Output as Output
    from muniment.types import PackagedModel as PackagedModel
    from muniment.types import PluginRef as PluginRef
    from muniment.types import Reason as Reason
    from muniment.types import Replay as Replay
    from muniment.types import Reply as Reply
    from muniment.types import Request as Request
    from muniment.types import Score as Score
    from muniment.types import Text as Text
    from muniment.types import Trace as Trace
    from muniment.types import Usage as Usage
    from muniment.types import Verdict as Verdict

_MODULES = {
    "errors": "AmbiguousNameError ConfigError ModelError ModelTermsWarning MunimentError "
    "ParameterError PluginError PolicyError PromptError SeedError StoreError UnknownNameError "
    "UsageError",
    "generation.requests": "GenerationSpec",
    "hookspecs": "Evaluator Filter Generator Register ModelProvider hookimpl",
    "parameters": "Parameters param",
    "session": "Session open",
    "store": "Query",
    "types": "Content Difference Failure Generation Measure Model Output Chunk PackagedModel "
    "PluginRef Reason Replay Reply Request Score Text Trace Usage Verdict",
}

__all__ = sorted(" ".join(_MODULES.values()).split())
__getattr__, __dir__ = lazy_attributes(__name__, _MODULES)
