"""Read the files of IFEval, JSON Lines with prompts and with responses, and check every row."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import muniment
from muniment_analysis.errors import RowError

from .instructions import Instruction, read_instructions

_PROMPT_FIELDS = ("key", "prompt", "instruction_id_list", "kwargs")
_RESPONSE_FIELDS = ("prompt", "response")


class Prompt(NamedTuple):
    """A prompt with its instructions."""

    key: int | str
    text: str
    instructions: tuple[Instruction, ...]


def read_prompts(path: Path) -> list[Prompt]:
    """Return the prompts of a data file, in order.

    A row has `key`, `prompt`, `instruction_id_list` and `kwargs`, a list with an object for each
    instruction. Raises RowError for an invalid row, and for a key or a prompt that is repeated.
    """
    prompts: list[Prompt] = []
    lines: dict[tuple[str, int | str], int] = {}
    for number, row in _rows(path, _PROMPT_FIELDS):
        try:
            prompt = _read_prompt(row)
        except ValueError as error:
            raise RowError(path, number, error) from None
        for field, value in (("key", prompt.key), ("prompt", prompt.text)):
            first = lines.setdefault((field, value), number)
            if first != number:
                problem = f"the {field} {_short(value)} stands in line {first}, too; remove one"
                raise RowError(path, number, problem)
        prompts.append(prompt)
    return prompts


def read_responses(path: Path) -> dict[str, str]:
    """Return the response to each prompt of a file with the fields `prompt` and `response`.

    Raises RowError for an invalid row, and for a prompt that has two responses.
    """
    responses: dict[str, str] = {}
    lines: dict[str, int] = {}
    for number, row in _rows(path, _RESPONSE_FIELDS):
        for field in ("prompt", "response"):
            if not isinstance(row[field], str):
                problem = f"{field} must be a text, not {_short(row[field])}"
                raise RowError(path, number, problem)
        first = lines.setdefault(row["prompt"], number)
        if first != number:
            problem = f"the prompt {_short(row['prompt'])} has a response in line {first}, too"
            raise RowError(path, number, f"{problem}; remove one")
        responses[row["prompt"]] = row["response"]
    return responses


def read_json(text: str | bytes) -> Any:
    """Return the value of a JSON text.

    Raises ValueError, also for NaN, infinity, and an object with a repeated name.
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_object_of_pairs)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _rows(path: Path, fields: tuple[str, ...]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the line number and the object of each line that is not blank."""
    number = rows = 0
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
                if text.strip():
                    rows += 1
                    yield number, _object(text, fields)
    except UnicodeDecodeError:
        raise RowError(path, number, "the text is not UTF-8; convert the file") from None
    except ValueError as error:
        raise RowError(path, number, error) from None
    except OSError as error:
        raise muniment.UsageError(f"cannot read {path}: {error.strerror}") from None
    if rows == 0:
        raise muniment.UsageError(f"{path} has no rows; use a file with one JSON object a line")


def _object(text: str, fields: tuple[str, ...]) -> dict[str, Any]:
    """Return the object of a line that has all fields. Raises ValueError."""
    try:
        row = read_json(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"the line is not JSON ({error.msg}, column {error.colno})") from None
    if not isinstance(row, dict):
        raise ValueError("the line is not a JSON object")
    for field in fields:
        if field not in row:
            other = _RESPONSE_FIELDS if fields == _PROMPT_FIELDS else _PROMPT_FIELDS
            is_other_file = row.keys() & {*fields, *other} == set(other)
            remedy = "exchange the files of --data and --responses" if is_other_file else "add it"
            raise ValueError(f"the field {field!r} is missing; {remedy}")
    return row


def _read_prompt(row: Mapping[str, Any]) -> Prompt:
    """Return the prompt of a row. Raises ValueError."""
    key, text = row["key"], row["prompt"]
    if not isinstance(key, int | str) or isinstance(key, bool):
        raise ValueError(f"key must be a whole number or a text, not {_short(key)}")
    if not isinstance(text, str):
        raise ValueError(f"prompt of key {key} must be a text, not {_short(text)}")
    try:
        return Prompt(key, text, read_instructions(row["instruction_id_list"], row["kwargs"]))
    except ValueError as error:
        raise ValueError(f"key {key}: {error}") from None


def _object_of_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the name {_short(repeated)} stands twice in one object; remove one")
    return values


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON; use a number or null")


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
