"""Muniment generates text, images and recommendations, and keeps the evidence.

The names exported here are the public API. Plugins and programs import nothing below it. Names
are imported on first use, so that `import muniment` is fast.

The examples in the docstrings use `session`, which is an open session, and `done`, a generation
that it recorded. `folder` is the path of an empty folder, and `run_id` a new id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from muniment._lazy import lazy_attributes
from muniment._version import __version__ as __version__

if TYPE_CHECKING:
    from muniment.errors import (
        AmbiguousNameError as AmbiguousNameError,
        ConfigError as ConfigError,
        InputError as InputError,
        ModelError as ModelError,
        ModelTermsWarning as ModelTermsWarning,
        MunimentError as MunimentError,
        ParameterError as ParameterError,
        PluginError as PluginError,
        PluginWarning as PluginWarning,
        PolicyError as PolicyError,
        PromptError as PromptError,
        ProvenanceError as ProvenanceError,
        SeedError as SeedError,
        SelectionError as SelectionError,
        StoreError as StoreError,
        UnknownFileError as UnknownFileError,
        UnknownNameError as UnknownNameError,
        UsageError as UsageError,
        YamlError as YamlError,
        explain_invalid as explain_invalid,
    )
    from muniment.escapes import escaped as escaped
    from muniment.evaluator_names import (
        EvaluatorSpec as EvaluatorSpec,
        parse_evaluators as parse_evaluators,
    )
    from muniment.files import replacing as replacing, sync_folder as sync_folder
    from muniment.generation.feedback import FeedbackEvent as FeedbackEvent
    from muniment.generation.powers import Embeddings as Embeddings, ScoredTexts as ScoredTexts
    from muniment.generation.scoring import ScoredGroup as ScoredGroup
    from muniment.generation.seeds import derive_seed as derive_seed
    from muniment.generation.specs import GenerationSpec as GenerationSpec
    from muniment.hookspecs import (
        Embedder as Embedder,
        Evaluator as Evaluator,
        Filter as Filter,
        Generator as Generator,
        GroupEvaluator as GroupEvaluator,
        MediaType as MediaType,
        ModelPowers as ModelPowers,
        ModelProvider as ModelProvider,
        Register as Register,
        TextScorer as TextScorer,
        hookimpl as hookimpl,
    )
    from muniment.models.training import (
        Training as Training,
        model_digest as model_digest,
        write_training_json as write_training_json,
    )
    from muniment.names import ERASED as ERASED
    from muniment.parameters import Parameters as Parameters, param as param
    from muniment.session.session import Session as Session, open as open
    from muniment.spreadsheets import spreadsheet_text as spreadsheet_text
    from muniment.store import Query as Query
    from muniment.types.experiments import Cell as Cell, Levels as Levels
    from muniment.types.generations import Failure as Failure, Generation as Generation
    from muniment.types.inputs import Input as Input, InputSpec as InputSpec
    from muniment.types.models import Model as Model, PackagedModel as PackagedModel
    from muniment.types.outputs import (
        Comparison as Comparison,
        Item as Item,
        Output as Output,
        SelectionCommitment as SelectionCommitment,
        Text as Text,
    )
    from muniment.types.plugins import PluginRef as PluginRef
    from muniment.types.policies import policy_label as policy_label
    from muniment.types.provenance import Provenance as Provenance
    from muniment.types.replays import Difference as Difference, Replay as Replay
    from muniment.types.replies import (
        Chunk as Chunk,
        Reply as Reply,
        Trace as Trace,
        Usage as Usage,
    )
    from muniment.types.requests import Request as Request, Resolution as Resolution
    from muniment.types.scores import Measure as Measure, Score as Score, TokenScores as TokenScores
    from muniment.types.verdicts import Content as Content, Reason as Reason, Verdict as Verdict
    from muniment.yaml_text import parse_yaml as parse_yaml

_MODULES = {
    "errors": "AmbiguousNameError ConfigError InputError ModelError ModelTermsWarning "
    "MunimentError ParameterError PluginError PluginWarning PolicyError PromptError "
    "ProvenanceError SeedError SelectionError StoreError UnknownFileError UnknownNameError "
    "UsageError YamlError explain_invalid",
    "escapes": "escaped",
    "evaluator_names": "EvaluatorSpec parse_evaluators",
    "files": "replacing sync_folder",
    "generation.feedback": "FeedbackEvent",
    "generation.powers": "Embeddings ScoredTexts",
    "generation.specs": "GenerationSpec",
    "generation.scoring": "ScoredGroup",
    "generation.seeds": "derive_seed",
    "hookspecs": "Embedder Evaluator Filter Generator GroupEvaluator MediaType Register "
    "ModelPowers "
    "ModelProvider TextScorer hookimpl",
    "models.training": "Training model_digest write_training_json",
    "names": "ERASED",
    "parameters": "Parameters param",
    "session.session": "Session open",
    "spreadsheets": "spreadsheet_text",
    "store": "Query",
    "types.experiments": "Cell Levels",
    "types.generations": "Failure Generation",
    "types.inputs": "Input InputSpec",
    "types.models": "Model PackagedModel",
    "types.outputs": "Comparison Item Output SelectionCommitment Text",
    "types.plugins": "PluginRef",
    "types.policies": "policy_label",
    "types.provenance": "Provenance",
    "types.replays": "Difference Replay",
    "types.replies": "Chunk Reply Trace Usage",
    "types.requests": "Request Resolution",
    "types.scores": "Measure Score TokenScores",
    "types.verdicts": "Content Reason Verdict",
    "yaml_text": "parse_yaml",
}

__all__ = sorted(" ".join(_MODULES.values()).split())
__getattr__, __dir__ = lazy_attributes(__name__, _MODULES)
