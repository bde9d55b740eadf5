"""Contract suites that a plugin's author subclasses, and fixtures: does my plugin behave?

    import muniment.testing
    from my_plugin import Mine

    class TestMine(muniment.testing.GeneratorContract):
        generator = Mine

pytest then runs everything that Muniment relies on. Needs the extra `testing`.
"""

from __future__ import annotations

try:
    from muniment.testing.evaluators import EvaluatorContract
    from muniment.testing.factories import content, generation, request
    from muniment.testing.filters import FilterContract
    from muniment.testing.generators import GeneratorContract
except ModuleNotFoundError as error:
    if error.name not in ("pytest", "hypothesis", "jsonschema"):
        raise
    raise ModuleNotFoundError(
        f"muniment.testing needs {error.name}: pip install 'muniment[testing]'", name=error.name
    ) from None

__all__ = [
    "EvaluatorContract",
    "FilterContract",
    "GeneratorContract",
    "content",
    "generation",
    "request",
]
