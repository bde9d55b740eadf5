"""Contract suites that the author of a plugin subclasses, factories and fixtures.

    import muniment.testing
    from my_plugin import Mine

    class TestMine(muniment.testing.GeneratorContract):
        generator = Mine

pytest then checks everything that Muniment relies on. The extra `testing` installs the libraries.
"""

from __future__ import annotations

try:
    from muniment.testing.commands import CommandContract, CommandResult, run_command
    from muniment.testing.factories import content, generation, request
    from muniment.testing.generators import GeneratorContract
    from muniment.testing.media_types import MediaTypeContract
    from muniment.testing.properties import EvaluatorContract, FilterContract
    from muniment.testing.trainings import TrainingContract
    from muniment.testing.translations import TranslationContract
except ModuleNotFoundError as error:
    if error.name not in ("pytest", "hypothesis", "jsonschema"):
        raise
    raise ModuleNotFoundError(
        f"muniment.testing needs {error.name}: pip install 'muniment[testing]'", name=error.name
    ) from None

__all__ = [
    "CommandContract",
    "CommandResult",
    "EvaluatorContract",
    "FilterContract",
    "GeneratorContract",
    "MediaTypeContract",
    "TrainingContract",
    "TranslationContract",
    "content",
    "generation",
    "request",
    "run_command",
]
