"""The kinds of instructions with their ids and arguments, and instructions of these kinds."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from . import arguments, checks


class Kind(NamedTuple):
    """A kind of instruction: its check, and a reader for each argument by its name in data.

    The check receives the text and then the arguments in the order of `readers`.
    """

    check: Callable[..., bool]
    readers: Mapping[str, arguments.Reader] = {}


KINDS: Mapping[str, Kind] = {
    "change_case:capital_word_frequency": Kind(
        checks.capital_word_frequency,
        {"capital_relation": arguments.relation, "capital_frequency": arguments.count},
    ),
    "change_case:english_capital": Kind(checks.english_capital),
    "change_case:english_lowercase": Kind(checks.english_lowercase),
    "combination:repeat_prompt": Kind(checks.repeat_prompt, {"prompt_to_repeat": arguments.text}),
    "combination:two_responses": Kind(checks.two_responses),
    "detectable_content:number_placeholders": Kind(
        checks.number_placeholders, {"num_placeholders": arguments.count}
    ),
    "detectable_content:postscript": Kind(checks.postscript, {"postscript_marker": arguments.text}),
    "detectable_format:constrained_response": Kind(checks.constrained_response),
    "detectable_format:json_format": Kind(checks.json_format),
    "detectable_format:multiple_sections": Kind(
        checks.multiple_sections,
        {"section_spliter": arguments.text, "num_sections": arguments.count},
    ),
    "detectable_format:number_bullet_lists": Kind(
        checks.number_bullet_lists, {"num_bullets": arguments.count}
    ),
    "detectable_format:number_highlighted_sections": Kind(
        checks.number_highlighted_sections, {"num_highlights": arguments.count}
    ),
    "detectable_format:title": Kind(checks.title),
    "keywords:existence": Kind(checks.keywords_exist, {"keywords": arguments.texts}),
    "keywords:forbidden_words": Kind(checks.forbidden_words, {"forbidden_words": arguments.texts}),
    "keywords:frequency": Kind(
        checks.keyword_frequency,
        {
            "keyword": arguments.text,
            "relation": arguments.relation,
            "frequency": arguments.count,
        },
    ),
    "keywords:letter_frequency": Kind(
        checks.letter_frequency,
        {
            "letter": arguments.letter,
            "let_relation": arguments.relation,
            "let_frequency": arguments.count,
        },
    ),
    "language:response_language": Kind(checks.response_language, {"language": arguments.language}),
    "length_constraints:nth_paragraph_first_word": Kind(
        checks.nth_paragraph_first_word,
        {
            "num_paragraphs": arguments.count,
            "nth_paragraph": arguments.position,
            "first_word": arguments.text,
        },
    ),
    "length_constraints:number_paragraphs": Kind(
        checks.number_paragraphs, {"num_paragraphs": arguments.count}
    ),
    "length_constraints:number_sentences": Kind(
        checks.number_sentences,
        {"relation": arguments.relation, "num_sentences": arguments.count},
    ),
    "length_constraints:number_words": Kind(
        checks.number_words, {"relation": arguments.relation, "num_words": arguments.count}
    ),
    "punctuation:no_comma": Kind(checks.no_comma),
    "startend:end_checker": Kind(checks.end_checker, {"end_phrase": arguments.text}),
    "startend:quotation": Kind(checks.quotation),
}


@dataclass(frozen=True, slots=True)
class Instruction:
    """An instruction of a kind, with the values of its arguments."""

    id: str
    values: tuple[arguments.Argument, ...] = ()

    def is_followed(self, text: str) -> bool:
        """Return whether a text follows the instruction. A blank text follows none."""
        return bool(text.strip()) and KINDS[self.id].check(text, *self.values)


def read_instructions(ids: Any, values: Any) -> tuple[Instruction, ...]:
    """Return the instructions with a list of ids and a list of objects with their arguments.

    Raises ValueError for an invalid instruction, for empty lists and for lists of different
    lengths.
    """
    for name, items in (("instruction_id_list", ids), ("kwargs", values)):
        if not isinstance(items, list | tuple):
            raise ValueError(f"{name} is not a list")
    if len(ids) != len(values):
        raise ValueError(
            f"there are {len(ids)} instruction ids and {len(values)} objects in kwargs"
        )
    if not ids:
        raise ValueError("there is no instruction; add one or remove the row")
    return tuple(map(read_instruction, ids, values))


def read_instruction(instruction_id: Any, values: Any) -> Instruction:
    """Return the instruction with an id and arguments from data. None is an omitted argument.

    Raises ValueError for an unknown id, and for missing, unknown and invalid arguments.
    """
    kind = KINDS.get(instruction_id) if isinstance(instruction_id, str) else None
    if kind is None:
        raise ValueError(f"{instruction_id!r} is not an instruction id; {_advice(instruction_id)}")
    if not isinstance(values, dict):
        raise ValueError(f"the arguments of {instruction_id} are not an object; use {{}} for none")
    for name, value in values.items():
        if name not in kind.readers and value is not None:
            known = ", ".join(kind.readers) or "none"
            raise ValueError(f"{instruction_id} has no argument {name!r}; available: {known}")
    read = []
    for name, reader in kind.readers.items():
        if values.get(name) is None:
            raise ValueError(f"{instruction_id} has no value of its argument {name!r}; add it")
        try:
            read.append(reader(values[name]))
        except ValueError as error:
            raise ValueError(f"{name} of {instruction_id} {error}") from None
    return Instruction(instruction_id, tuple(read))


def _advice(instruction_id: object) -> str:
    close = difflib.get_close_matches(str(instruction_id), KINDS, n=1)
    return f"did you mean {close[0]}?" if close else "use one of the 25 ids of IFEval"
