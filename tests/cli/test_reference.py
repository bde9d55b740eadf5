"""The reference says what the commands say, and every command says what it is for."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

import click
import pytest
from jsonschema import ValidationError

import make_json
from muniment.cli import exit_codes
from muniment.cli.lazy import LazyGroup, means_help
from muniment.cli.root import root
from muniment.cli.suggestions import similar_choices
from muniment.records import to_json
from schemas import generated, is_described
from support.commands import ROOT, SCHEMA, check_shape
from support.golden import BARE, RICH

REFERENCE = ROOT / "docs" / "reference"


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_cli", REFERENCE / "make_cli.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def contexts(maker: ModuleType) -> list[click.Context]:
    return list(maker.commands(root, maker.root_context()))


def test_the_page_is_what_the_commands_say(maker: ModuleType) -> None:
    page = (REFERENCE / "cli.md").read_text(encoding="utf-8")
    assert page == maker.page(), "run python docs/reference/make_cli.py"


def test_every_command_and_option_has_help(contexts: list[click.Context]) -> None:
    for context in contexts:
        assert context.command.help, context.command_path
        for parameter in context.command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, (context.command_path, parameter.name)


def test_every_choice_suggests_values_for_a_misspelt_one(contexts: list[click.Context]) -> None:
    misspelt = 0
    for context in contexts:
        for parameter in context.command.params:
            if isinstance(parameter.type, click.Choice):
                longest = max(map(str, parameter.type.choices), key=len)
                with pytest.raises(click.BadParameter) as raised:
                    parameter.type.convert(f"{longest}'", parameter, context)
                assert repr(longest) in similar_choices(raised.value), parameter.name
                misspelt += 1
    assert misspelt > 10


def test_help_alone_is_a_text_for_few_commands(contexts: list[click.Context]) -> None:
    texts = {
        context.command_path.removeprefix("muniment ")
        for context in contexts
        if context.parent is not None and not means_help(context)
    }
    assert texts == {
        *("generate NAME", "audit search", "help"),
        *("image sheet", "image words", "recommendation similar", "recommendation forget-user"),
    }


def test_every_command_that_reads_offers_json(contexts: list[click.Context]) -> None:
    writes = {
        *("analyze import", "audit get", "audit export", "audit prove", "models remove"),
        *("config set", "config unset"),
        *("db upgrade", "keys generate", "hold release", "plugins new"),
        *("completion install", "completion show", "help"),  # texts for a shell and a person
    }
    without = {
        context.command_path.removeprefix("muniment ")
        for context in contexts
        if not isinstance(context.command, click.Group)
        and not any(option.name == "as_json" for option in context.command.params)
    }
    assert without == writes


def test_the_lines_of_a_group_are_those_of_its_commands(contexts: list[click.Context]) -> None:
    for context in contexts:
        if isinstance(context.command, LazyGroup):
            for name, (_, line) in context.command.lazy.items():
                command = context.command.get_command(context, name)
                assert command is not None
                assert command.get_short_help_str(200) == line, name


def test_every_exit_code_is_in_the_page() -> None:
    page = (REFERENCE / "exit-codes.md").read_text(encoding="utf-8")
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)}
    assert documented == {
        *(exit_codes.DONE, exit_codes.FAILED, exit_codes.USAGE),
        *(exit_codes.BLOCKED, exit_codes.UNVERIFIED, exit_codes.INTERRUPTED),
    }


@pytest.mark.parametrize(
    ("codes", "worst"),
    [([], 0), ([0, 3], 3), ([0, 3, 1], 1), ([1, 4, 0], 4), ([3, 0, 0], 3), ([1, 130], 130)],
)
def test_the_worst_code_wins(codes: list[int], worst: int) -> None:
    assert exit_codes.worst(codes) == worst


def test_the_page_and_the_schema_of_json_are_up_to_date() -> None:
    page = make_json.PAGE.read_text(encoding="utf-8")
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    assert schema == make_json.schema(), "run python docs/reference/make_json.py"
    assert page == make_json.page(), "run python docs/reference/make_json.py"
    assert sorted(generated(page)) == sorted(make_json.sections())


def test_every_field_of_json_is_described() -> None:
    undescribed = [
        (name, field)
        for name, shape in make_json.schema()["$defs"].items()
        for field, schema in shape.get("properties", {}).items()
        if not is_described(schema)
    ]
    assert undescribed == []


def test_every_shape_is_that_of_a_command_or_part_of_another() -> None:
    page = make_json.PAGE.read_text(encoding="utf-8")
    printed = set(re.findall(r"`(\w+)`", page.partition("\n## ")[0]))
    definitions = make_json.schema()["$defs"]
    parts = set(re.findall(r'"#/\$defs/(\w+)"', json.dumps(definitions)))
    texts = {name for name in definitions if name.endswith("_text")}  # of payloads
    assert definitions.keys() - printed - parts - texts == set()


def test_the_schema_accepts_records_and_no_other_field() -> None:
    for generation in (RICH, BARE):
        values = json.loads(json.dumps(to_json(generation)))
        check_shape(values, "generation")
        for name in values:
            with pytest.raises(ValidationError):
                check_shape({key: values[key] for key in values if key != name}, "generation")
        with pytest.raises(ValidationError):
            check_shape({**values, "note": "x"}, "generation")


def test_the_demo_is_a_shell_script_that_stops_at_the_first_mistake() -> None:
    script = (ROOT / "examples" / "demo.sh").read_text(encoding="utf-8")
    assert "set -euo pipefail" in script
    assert Path(ROOT / "examples" / "batch.jsonl").exists()


def test_the_help_of_replay_says_what_certified_rests_on() -> None:
    page = (REFERENCE / "cli.md").read_text(encoding="utf-8")
    assert "certified" in page.partition("\n### muniment audit replay\n")[2].partition("\n### ")[0]
