"""Errors of the text engine; each message is one sentence that says what to do."""

from __future__ import annotations


class TextError(Exception):
    """The root of the engine's errors; `str()` of one is fit for a user."""


class ModelUnusable(TextError):
    """A model cannot be loaded or prepared: missing, half-written, pickled, not a causal LM."""

    def __init__(self, source: str, message: str) -> None:
        super().__init__(message)
        self.source = source


class RowsUnsupported(TextError):
    """A transformers model's attention does what rows of unlike lengths cannot share."""


class RowsMixed(TextError):
    """On this machine a row's bits depend on its neighbours; the message says how that was seen."""


class NotOfThisKind(TextError):
    """A model that `architecture` has no words for; the message says what is different."""


class RowError(TextError):
    """One row cannot be decoded; its neighbours are unaffected."""


class PromptTooLong(RowError):
    """The prompt's tokens leave no room for an answer in the model's context."""

    def __init__(self, tokens: int, context: int) -> None:
        super().__init__(
            f"the prompt has {tokens:,} tokens and the model's context holds {context:,}; "
            "shorten the prompt"
        )
        self.tokens, self.context = tokens, context


class EmptyPrompt(RowError):
    """An empty prompt for a model that has no beginning-of-text token to start from."""

    def __init__(self) -> None:
        super().__init__("the prompt is empty and this model cannot start without one; give a text")


class SystemPromptRefused(RowError):
    """A system prompt for a model without a chat template, which has no place to put it."""

    def __init__(self, reason: str = "has no chat template") -> None:
        super().__init__(
            f"this model {reason}, so it takes no system prompt; "
            "put the instructions into the prompt"
        )
