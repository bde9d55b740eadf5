"""Results of self-tests that later processes may use instead of a test.

Only passed tests are stored. The folder contains a random key and one file for each environment,
model and decoder in which a test passed. The name of the file is a digest of these, and the
content is their HMAC under the key. A file with any other content is ignored, so the test runs.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import muniment

from .environment import decoder_facts

_KEY = "key"
_KEY_BYTES = 32

Test = Callable[[], str | None]  # returns the reason of a failure, or None


class SelfTests:
    """The self-tests of one model's decoders.

    `folder` is the folder of the results, or None to run every test. `model` is the model's digest.
    `remembered` is whether the last result came from the folder.
    """

    def __init__(self, folder: Path | None = None, model: str = "") -> None:
        self._folder = folder
        self._model = model
        self._last: tuple[type, Test] | None = None
        self.remembered = False

    def run(self, decoder: type, test: Test) -> str | None:
        """Return the reason why a kind of decoder fails a test, or None.

        The test is skipped if it passed before for the same model in the same environment.
        """
        self._last = decoder, test
        self.remembered = self._is_stored(decoder)
        return None if self.remembered else self._run(decoder, test)

    def repeat(self) -> str | None:
        """Run the last test if it was skipped. Return the reason of a failure, or None."""
        if self._last is None or not self.remembered:
            return None
        self.remembered = False
        return self._run(*self._last)

    def _run(self, decoder: type, test: Test) -> str | None:
        reason = test()
        if self._folder is not None:
            # Without space, or with a folder in place of the file, the next process runs it again.
            with contextlib.suppress(OSError, muniment.UsageError):
                self._store(decoder, passed=reason is None)
        return reason

    def _is_stored(self, decoder: type) -> bool:
        if self._folder is None:
            return False
        facts = self._facts(decoder)
        try:
            key = (self._folder / _KEY).read_bytes()
            content = (self._folder / _name(facts)).read_bytes()
        except OSError:
            return False
        return len(key) == _KEY_BYTES and hmac.compare_digest(content, _mac(key, facts))

    def _store(self, decoder: type, *, passed: bool) -> None:
        assert self._folder is not None
        facts = self._facts(decoder)
        file = self._folder / _name(facts)
        if not passed:
            file.unlink(missing_ok=True)
            return
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(file, _mac(self._key(), facts))

    def _key(self) -> bytes:
        """Return the key, made anew if it is missing or incomplete."""
        assert self._folder is not None
        file = self._folder / _KEY
        with contextlib.suppress(FileNotFoundError):
            if len(key := file.read_bytes()) == _KEY_BYTES:
                return key
        key = secrets.token_bytes(_KEY_BYTES)
        _write(file, key)
        return key

    def _facts(self, decoder: type) -> bytes:
        facts: dict[str, Any] = {"model": self._model, "environment": decoder_facts(decoder)}
        return json.dumps(facts, sort_keys=True).encode()


def _name(facts: bytes) -> str:
    return f"self-test-{hashlib.sha256(facts).hexdigest()}"


def _mac(key: bytes, facts: bytes) -> bytes:
    return hmac.digest(key, facts, "sha256").hex().encode()


def _write(file: Path, content: bytes) -> None:
    with muniment.replacing(file) as target:
        target.write(content)
