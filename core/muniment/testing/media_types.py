"""The contract suite for media types."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, ClassVar, TypeVar

from muniment.errors import ProvenanceError
from muniment.failures import describe
from muniment.hookspecs import MediaType, implemented_methods
from muniment.ids import new_id
from muniment.plugins.invocation import validate_media
from muniment.provenance import from_json
from muniment.testing.contract import Contract, broken, without_traceback
from muniment.types.outputs import Item
from muniment.types.provenance import Provenance
from muniment.validation import now

_Check = TypeVar("_Check", bound=Callable[..., None])

# Bytes that are of no media type, or only of text.
_FOREIGN = (b"", b"\0", b"\xff" * 64, b"to be or not to be", "最近\n".encode() * 9)
_PROMPTS = ("", "to be", '最近\n"𠮷"\t<&>\\', "a" * 20_000)


def _needs(*methods: str) -> Callable[[_Check], _Check]:
    """Make a check of a suite pass unless its class implements the methods, all optional."""

    def decorate(check: _Check) -> _Check:
        def run(self: MediaTypeContract) -> None:
            if implemented_methods(self.subject).issuperset(methods):
                check(self)

        run.__name__, run.__doc__ = check.__name__, check.__doc__
        return without_traceback(run)  # type: ignore[return-value]

    return decorate


class MediaTypeContract(Contract):
    """Base class of a media type's test suite. Set `media_type` to the class, and `samples`.

    `samples` are at least two recorded outputs, which differ. `parameters` are the options of the
    exported files.
    """

    kind = "media_type"
    media_type: ClassVar[type[MediaType]]
    samples: ClassVar[Sequence[bytes]]

    @without_traceback
    def test_its_samples_differ(self) -> None:
        """Check that the suite has samples for the other checks."""
        samples = getattr(type(self), "samples", ())
        assert len(set(samples)) >= 2, (
            f"{type(self).__name__} has fewer than two different samples; write "
            "`samples = (…, …)` in it, with the bytes of outputs"
        )

    @_needs("matches")
    def test_it_recognises_its_samples_and_nothing_else(self) -> None:
        """Check that content is recognised, and that other content does not raise."""
        subject = self.made()
        for sample in self.samples:
            assert self._result(subject, "matches", sample) is True, (
                f"matches() does not recognise {_shown(sample)}; compare the first bytes"
            )
        for data in _FOREIGN:
            assert self._result(subject, "matches", data) is False, (
                f"matches() recognises {_shown(data)}, which is not of its types"
            )

    @_needs("describe")
    def test_its_descriptions_are_short_lines(self) -> None:
        """Check that every sample is described in one line of at most 200 characters."""
        subject = self.made()
        for sample in self.samples:
            text = self._result(subject, "describe", sample)
            is_short = text.isprintable() and 1 <= len(text) <= 200
            assert is_short, (
                f"describe() of {_shown(sample)} returned {text[:60]!r}; return a short line"
            )

    @_needs("preview")
    def test_its_previews_are_texts(self) -> None:
        """Check that a preview is a text, or None, on terminals of several widths."""
        subject = self.made()
        for sample in self.samples:
            for columns in (1, 20, 80, 400):
                self._result(subject, "preview", sample, columns)

    @_needs("to_text")
    def test_its_lines_for_a_pipe_are_texts(self) -> None:
        """Check that the lines for a pipe are a text without control characters, or None."""
        subject = self.made()
        for sample in self.samples:
            text = self._result(subject, "to_text", sample) or ""
            is_clean = all(line.replace("\t", "").isprintable() for line in text.split("\n"))
            assert is_clean, (
                f"to_text() of {_shown(sample)} has a control character; escape all of them "
                "but tabs and line ends"
            )

    @_needs("compare")
    def test_equal_outputs_have_no_distance_and_others_have_one(self) -> None:
        """Check that the distance is 0 exactly for equal outputs, and has a unit."""
        subject = self.made()
        for first in self.samples:
            for second in self.samples:
                comparison = self._result(subject, "compare", first, second)
                distance = comparison.distance
                expected = "0" if first == second else "more than 0, or None"
                fits = distance == 0 if first == second else distance is None or distance > 0
                assert fits, (
                    f"compare() of {_shown(first)} and {_shown(second)} returned the distance "
                    f"{distance}; it must be {expected}"
                )
                assert comparison.unit, "compare() returned no unit; name what the distance counts"

    @_needs("export")
    def test_an_exported_file_is_not_the_recorded_output(self) -> None:
        """Check that a file is neither empty nor without the provenance, in every format."""
        subject = self.made()
        for sample, suffix, _, file in self._files(subject):
            assert file != sample, (
                f"export() of {_shown(sample)} as {suffix} returned the recorded bytes; write the "
                "provenance into the file"
            )

    @_needs("export", "read_provenance")
    def test_an_exported_file_contains_the_provenance(self) -> None:
        """Check it in every format, with texts that are hard to write into a file."""
        subject = self.made()
        for sample, suffix, provenance, file in self._files(subject):
            where = f"read_provenance() of {_shown(sample)} as {suffix}"
            [read] = self._provenances(subject, file, where) or [None]
            assert read is not None, f"{where} returned None; return the JSON that export() wrote"
            assert read.id == provenance.id, (
                f"{where} has the id {read.id}; return the JSON that export() wrote"
            )
            assert read.prompt in (provenance.prompt, ""), (
                f"{where} has the prompt {read.prompt[:60]!r}; write it unchanged, or no prompt"
            )
            assert self._result(subject, "read_provenance", sample) is None, (
                f"read_provenance() of {_shown(sample)}, which was not exported, returned a text; "
                "recorded outputs contain none, so return None"
            )

    @_needs("export", "read_provenance", "matches")
    def test_a_truncated_file_is_read_without_an_error(self) -> None:
        """Check files of which the end is missing, and that are still recognised."""
        subject = self.made()
        for _, _, _, file in self._files(subject):
            for data in (file[: len(file) // 2], file[:-1]):
                if self._result(subject, self._recognising(), data):
                    self._result(subject, "read_provenance", data)

    @_needs("export", "fingerprint")
    def test_an_exported_file_has_the_fingerprint_of_the_output(self) -> None:
        """Check that the stamp does not change the content, in formats that are not lossy."""
        subject = self.made()
        for sample, suffix, _, file in self._files(subject):
            if suffix in self.subject.lossy_suffixes:
                continue
            before, after = (self._result(subject, "fingerprint", data) for data in (sample, file))
            assert before == after, (
                f"the fingerprint of {_shown(sample)} changes when it is exported as {suffix}; "
                "compute it only of the content, or add the suffix to `lossy_suffixes`"
            )

    @_needs("export", "matches")
    def test_an_exported_file_is_recognised(self) -> None:
        """Check that `audit find` recognises exported files, and nothing else."""
        subject = self.made()
        method = self._recognising()
        for sample, suffix, _, file in self._files(subject):
            assert self._result(subject, method, file) is True, (
                f"{method}() does not recognise {_shown(sample)} as {suffix}"
            )
        for data in _FOREIGN:
            assert self._result(subject, method, data) is False, (
                f"{method}() recognises {_shown(data)}, which is not of its types"
            )

    @_needs("combine")
    def test_outputs_can_be_combined(self) -> None:
        """Check that one and several outputs can be written to one file of each format."""
        subject, options = self.made(), self.given()
        for suffix in self._suffixes():
            for outputs in (self.samples[:1], self.samples):
                provenances = [_provenance("to be") for _ in outputs]
                arguments = list(outputs), provenances, suffix, options
                file = self._result(subject, "combine", *arguments)
                assert file not in outputs, (
                    f"combine() of {len(outputs)} outputs as {suffix} returned recorded bytes; "
                    "write their provenances into the file"
                )
                if "read_provenance" in implemented_methods(self.subject):
                    where = f"read_provenance() of {len(outputs)} combined outputs as {suffix}"
                    ids = [item.id for item in self._provenances(subject, file, where)]
                    assert ids == [item.id for item in provenances], (
                        f"{where} has the ids {ids}; write all provenances into the file"
                    )

    @_needs("fingerprint")
    def test_different_outputs_have_different_fingerprints(self) -> None:
        """Check that two objects agree, and that the samples can be told apart."""
        first, second = self.made(), self.made()
        seen: dict[bytes, bytes] = {}
        for sample in self.samples:
            fingerprint = self._result(first, "fingerprint", sample)
            assert fingerprint == self._result(second, "fingerprint", sample), (
                f"two fingerprints of {_shown(sample)} differ; compute them only from the content"
            )
            other = seen.setdefault(fingerprint, sample)
            assert other == sample, (
                f"{_shown(sample)} and {_shown(other)} have the same fingerprint; return more of "
                "the content, such as all pixels"
            )

    @_needs("items", "select")
    def test_a_selection_has_the_selected_items(self) -> None:
        """Check that a selection contains the items at the positions, in the order of these."""
        subject, second = self.made(), self.made()
        for sample in self.samples:
            items = self._result(subject, "items", sample)
            for positions in ([], [*range(len(items))], [*range(len(items))][::2]):
                selection = self._result(subject, "select", sample, positions)
                assert selection == self._result(second, "select", sample, positions), (
                    f"two calls of select() of {_shown(sample)} at {positions} returned different "
                    "bytes; compute them only from the data and the positions"
                )
                selected = self._result(subject, "items", selection)
                assert selected == tuple(items[position] for position in positions), (
                    f"select() of {_shown(sample)} at {positions} has other items"
                )

    @_needs("items", "select")
    def test_a_selection_has_no_text_of_other_items(self) -> None:
        """Check that texts and ids of items that were not selected occur nowhere in the bytes."""
        subject = self.made()
        for sample in self.samples:
            items = self._result(subject, "items", sample)
            for positions in ([], [*range(len(items))][::2]):
                selection = self._result(subject, "select", sample, positions)
                selected = _texts(items[position] for position in positions)
                for text in _texts(items) - selected:
                    is_inside_another = any(text in other for other in selected)
                    assert is_inside_another or text.encode() not in selection, (
                        f"select() of {_shown(sample)} at {positions} contains {text!r} of an "
                        "item that was not selected; remove it there too"
                    )

    def _recognising(self) -> str:
        """Return the name of the method that recognises exported files."""
        own = "matches_file" in implemented_methods(self.subject)
        return "matches_file" if own else "matches"

    def _suffixes(self) -> tuple[str, ...]:
        subject = self.subject
        written = tuple(name for name in subject.suffixes if name not in subject.plain_suffixes)
        assert written, "it writes files and names no suffixes; set `suffixes = ('.png',)`"
        return written

    def _files(self, subject: MediaType) -> Iterator[tuple[bytes, str, Provenance, bytes]]:
        """Yield exported files, each after its sample, suffix and provenance."""
        options = self.given()
        for sample in self.samples:
            for suffix in self._suffixes():
                for prompt in _PROMPTS:
                    provenance = _provenance(prompt)
                    arguments = sample, provenance, suffix, options
                    yield sample, suffix, provenance, self._result(subject, "export", *arguments)

    def _provenances(self, subject: MediaType, file: bytes, where: str) -> tuple[Provenance, ...]:
        """Return what `read_provenance` reads, or nothing. Fail the test if it is invalid."""
        text = self._result(subject, "read_provenance", file)
        try:
            return () if text is None else from_json(text)
        except ProvenanceError as error:
            broken(f"{where} returned {text[:60]!r}: {error}")

    def _result(self, subject: MediaType, method: str, *arguments: object) -> Any:
        """Return the result of a method. Fail the test if it raises or is of another type."""
        try:
            return validate_media(method, getattr(subject, method)(*arguments))
        except (Exception, SystemExit) as error:
            data = arguments[0] if isinstance(arguments[0], bytes) else b""
            broken(f"{method}() of {_shown(data)} failed: {describe(error)}")


def _texts(items: Iterable[Item]) -> set[str]:
    """Return the texts and ids of items, without short ones, which occur by chance."""
    return {text for item in items for text in (item.id, item.text) if len(text) >= 5}


def _provenance(prompt: str) -> Provenance:
    return Provenance(
        id=new_id(),
        generator="made-up",
        prompt=prompt,
        seed=2**64 - 1,
        parameters={"number": 0.5, "text": prompt, "nothing": None, "texts": ("a", "最近")},
        model="",
        model_digest="",
        created_at=now(),
        versions={"muniment": "0.1.0"},
        models={"adapter": f"tree1-sha256:{'0' * 64}"},
    )


def _shown(data: bytes) -> str:
    return f"{len(data)} bytes that begin with {data[:12]!r}"
