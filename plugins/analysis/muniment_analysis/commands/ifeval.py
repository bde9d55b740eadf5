"""The command `muniment analyze ifeval`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from muniment.command import (
    OutputFile,
    emit,
    headers_option,
    json_option,
    overwrite_option,
    pluralize,
    progress,
    write_json,
    write_note,
)
from muniment_analysis.errors import SampleError

if TYPE_CHECKING:
    from muniment_analysis.ifeval.summary import Shares, Summary

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_COLUMNS = (
    ("followed", "name"),
    ("n", "n"),
    ("strict", "strict"),
    ("low", "strict low"),
    ("high", "strict high"),
    ("loose", "loose"),
    ("low", "loose low"),
    ("high", "loose high"),
)


@click.command
@click.option(
    "--data",
    type=_FILE,
    required=True,
    metavar="FILE",
    help="JSON Lines with key, prompt, instruction_id_list and kwargs.",
)
@click.option(
    "--responses",
    type=_FILE,
    required=True,
    metavar="FILE",
    help="JSON Lines with prompt and response.",
)
@click.option(
    "--rows", metavar="FILE", help="New file for the results, one JSON object for each prompt."
)
@overwrite_option
@headers_option
@json_option
def ifeval(data: Path, responses: Path, rows: str | None, overwrite: bool, as_json: bool) -> None:
    """Measure how often responses follow verifiable instructions.

    The instructions are of the 25 kinds of IFEval. A prompt is followed if all its instructions
    are. Strict results are about the response as it is. Loose ones accept it without its first
    line, without its last line or without asterisks, too. Intervals are of 95 %.

    Prompts without a response are skipped. Their number is printed.
    """
    from muniment_analysis.ifeval.data import read_prompts, read_responses
    from muniment_analysis.ifeval.summary import CheckedPrompt, check_prompts, summarize
    from muniment_analysis.variance.sample import LEAST_ITEMS

    file = None
    if rows is not None:
        file = OutputFile(rows, overwrite=overwrite, inputs=[str(data), str(responses)])
    prompts, texts = read_prompts(data), read_responses(responses)
    checked: list[CheckedPrompt] = []
    with progress("checking", len(prompts)) as bar:
        for one in check_prompts(prompts, texts):
            checked.append(one)
            bar.advance(1)
    if not checked:
        raise SampleError(
            f"{responses} has no response to a prompt of {data}; the prompts must be equal texts",
            complete=0,
            needed=1,
        )
    summary = summarize(checked)
    if file is not None:
        file.write_bytes("".join(f"{json.dumps(one.to_json())}\n" for one in checked).encode())
    if len(checked) < LEAST_ITEMS:
        number = pluralize(len(checked), "prompt")
        write_note(f"Warning: intervals of {number} are wide; use {LEAST_ITEMS} prompts or more")
    skipped, unused = len(prompts) - len(checked), len(texts) - len(checked)
    if as_json:
        write_json({**summary.to_json(), "skipped": skipped, "unused": unused})
        return
    emit(_table(summary), _COLUMNS, as_json=False)
    if skipped:
        write_note(f"skipped {pluralize(skipped, 'prompt')} without a response")
    if unused:
        write_note(f"ignored {pluralize(unused, 'response')} to other prompts")


def _table(summary: Summary) -> Iterator[dict[str, Any]]:
    """Yield the rows of the table: all prompts, all instructions, and each kind."""
    yield _row("all prompts", summary.prompts)
    yield _row("all instructions", summary.instructions)
    for name, shares in summary.kinds.items():
        yield _row(name, shares)


def _row(name: str, shares: Shares) -> dict[str, Any]:
    row: dict[str, Any] = {"name": name, "n": shares.number}
    for mode in ("strict", "loose"):
        estimate = getattr(shares, mode)
        row[mode] = f"{estimate.value:.3f}"
        row[f"{mode} low"] = f"{estimate.low:.3f}"
        row[f"{mode} high"] = f"{estimate.high:.3f}"
    return row
