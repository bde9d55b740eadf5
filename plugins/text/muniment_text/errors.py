"""Exception classes of the text engine. Each message is one sentence with the next step."""

from __future__ import annotations


class TextError(Exception):
    """Base class of the engine's errors. `str()` is a user message."""


class ModelUnusable(TextError):
    """A model that cannot be loaded or prepared.

    It is missing, incomplete, pickled, or not a causal language model.
    """

    def __init__(self, source: str, message: str) -> None:
        super().__init__(message)
        self.source = source


class RowsUnsupported(TextError):
    """A transformers model whose attention cannot process rows of different lengths together."""


class RowsMixed(TextError):
    """A decoder that fails the self-test, because a row's bits depend on the other rows.

    The message describes the observed difference.
    """


class NotOfThisKind(TextError):
    """A model that `architecture` cannot describe. The message names the unsupported part."""


class RowError(TextError):
    """An error that concerns one row. Other rows are not affected."""


class PromptTooLong(RowError):
    """A prompt whose tokens fill the model's context, so that there is no room for an answer."""

    def __init__(self, tokens: int, context: int) -> None:
        super().__init__(
            f"the prompt has {tokens:,} tokens and the model's context holds {context:,}; "
            "shorten the prompt"
        )
        self.tokens, self.context = tokens, context


class EmptyPrompt(RowError):
    """An empty prompt for a model without a beginning-of-sequence token."""

    def __init__(self) -> None:
        super().__init__("the prompt is empty and this model cannot start without one; give a text")


class SystemPromptRefused(RowError):
    """A system prompt for a model whose chat template is missing or does not accept one."""

    def __init__(self, reason: str = "has no chat template") -> None:
        super().__init__(
            f"this model {reason}, so it takes no system prompt; "
            "remove the system prompt and put the instructions into the prompt"
        )


class TemplateFailed(RowError):
    """A prompt that the model's chat template refuses or cannot render."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"the model's chat template cannot render this prompt ({reason}); change the prompt"
        )
        self.reason = reason


class SpecialTokensInPrompt(RowError):
    """A prompt with special tokens that cannot be encoded as text."""

    def __init__(self) -> None:
        super().__init__(
            "the prompt contains special tokens of this model, which its chat template does not "
            "keep apart; remove them, or set special_tokens to true"
        )


class UnknownToken(RowError):
    """A prompt with a token that the model's embedding does not contain."""

    def __init__(self, token: int, rows: int) -> None:
        super().__init__(
            f"the prompt has the token id {token:,}, but the model's embedding has {rows:,} rows; "
            "remove the special token"
        )


class StopUnreachable(RowError):
    """A stop string that no answer can contain, because it is more than a special token."""

    def __init__(self, stop: str, token: str) -> None:
        super().__init__(
            f"the stop text {stop!r} contains the special token {token!r}, which is never a part "
            f"of the answer's text; use {token!r} alone"
        )
