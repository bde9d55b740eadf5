"""Names that were replaced do not come back at the places where they stood."""

from __future__ import annotations

import importlib
import importlib.util

import click
import pytest

import muniment
from muniment.cli.root import root

GONE_MODULES = """
    answering batch cli.asking cli.audit_check cli.exits cli.failures
    cli.fields cli.files cli.importing cli.people cli.plugins_read cli.plugins_switch
    cli.results cli.settings cli.showing differences digests evaluation installed installing
    isolation isolation.process isolation.protocol isolation.proxies isolation.worker
    isolation.workers keeping ledger.acts ledger.kinds ledger.texts moderation pipeline policy
    replay resolving seeds store.acting store.backup.copies store.backup.making
    store.backup.registry store.backup.restoring store.bulk store.chunks store.columns
    store.database.types store.erasing store.erasures store.expiring store.export.files
    store.export.pages store.export.records store.export.shapes store.following store.grams
    store.heads store.identities store.indexes store.indexing store.leases store.ledger
    store.lineage store.matching store.migrating store.periods store.picking store.postgresql
    store.problems store.projections store.proving store.purging store.raw store.reading
    store.rebuilding store.recording.replays store.replays store.retaining store.runs
    store.schema store.signatures store.sqlite store.stats store.tables store.verifying
    store.verifying.entries store.verifying.payloads store.verifying.processes
    store.verifying.ranges store.verifying.rows store.verifying.terms store.verifying.trees
    store.workers store.writing testing.elsewhere testing.making
""".split()

GONE_NAMES = {
    "muniment.cli.options": "agreed",
    "muniment.cli.context": "Settings closing closing_iterator",
    "muniment.cli.error_handler": "let_go_of_stdout",
    "muniment.cli.output": "count card ident data message data_json data_bytes shortened table",
    "muniment.cli.output_file": "Destination",
    "muniment.cli.generate": "Shower",
    "muniment.generation.assessment": "Moderator _Rule",
    "muniment.generation.pipeline": "_Open shown",
    "muniment.generation.requests": "Draft Resolved asked",
    "muniment.hookspecs": "TakesModels",
    "muniment_installer.bundle": "Packed",
    "muniment_installer.pip": "Chosen",
    "muniment_installer.resolver": "Gathered",
    "muniment.plugins.smoke_test": "Probed probe",
    "muniment.plugins.state": "Held Act",
    "muniment.ledger.canonical": "wide narrow",
    "muniment.ledger.proofs": "Disclosed",
    "muniment.models.registry": "AddedModel",
    "muniment.plugins.invocation": "Unanswered asked facts sentence checked_values",
    "muniment.plugins.isolation": "Workers",
    "muniment.plugins.isolation.process": "_Child",
    "muniment.plugins.isolation.protocol": "Told Gave Judged Measured Made Raised Asked",
    "muniment.plugins.isolation.proxies": "offers _Remote",
    "muniment.plugins.isolation.workers": "Workers",
    "muniment.plugins.registry": "Offer Broken Stoppable registered _registered offer_of",
    "muniment.signing": "Signed Keys",
    "muniment.store.backup": "copying Copying Contents make Present Plan plan",
    "muniment.store.backup.postgresql": "PostgresqlCopying",
    "muniment.store.backup.sqlite": "SqliteCopying",
    "muniment.store.database.export_pool": "Workers workers",
    "muniment.store.errors": "whole",
    "muniment.store.queries.planner": "Picker Way",
    "muniment.store.queries.query": "Found",
    "muniment.store.queries.stats": "Spread",
    "muniment.store.recording.events": "drawn Feedback Review Installation Replayed",
    "muniment.store.recording.ledger": "Prepared",
    "muniment.store.retention.erasure": "Past Erasure",
    "muniment.store.verification.ranges": "Asked Span Part WholeIndex spans SPAN",
    "muniment.store.verification.search_index": "Sums",
    "muniment.store.verification.signatures": "Held",
    "muniment.store.verification.tree": "Leaves",
    "muniment.store.verification.verify_pool": "Checkers",
    "muniment.types.replies": "Piece",
    "muniment.validation": "storable",
}


@pytest.mark.parametrize("module", GONE_MODULES)
def test_a_replaced_module_is_gone(module: str) -> None:
    parent = f"muniment.{module}".rpartition(".")[0]
    try:
        found = importlib.util.find_spec(f"muniment.{module}")
    except ModuleNotFoundError:
        found = None
    assert found is None, f"{module} of {parent}"


@pytest.mark.parametrize("module", GONE_NAMES)
def test_a_replaced_name_is_gone(module: str) -> None:
    there = vars(importlib.import_module(module))
    assert not [name for name in GONE_NAMES[module].split() if name in there]


@pytest.mark.parametrize("name", ["Draft", "Piece", "TakesModels"])
def test_a_replaced_public_name_is_gone(name: str) -> None:
    assert not hasattr(muniment, name)
    assert not hasattr(muniment.Request, name.lower())


def test_replaced_options_are_gone() -> None:
    context = click.Context(root, **root.context_settings)
    replay = _command(context, "audit", "replay")
    retention = _command(context, "retention", "set")
    options = {
        option for command in (replay, retention) for p in command.params for option in p.opts
    }
    assert {"--sample-key", "--min-days", "--max-days"} <= options
    assert not options & {"--draw", "--at-least", "--at-most"}


def test_replaced_columns_are_gone() -> None:
    from muniment.store.database.tables import metadata

    columns = {column.name for table in metadata.sorted_tables for column in table.columns}
    assert {"id_suffix", "block", "snapshot_xid"} <= columns
    assert not columns & {"tail", "stretch", "horizon"}


def _command(context: click.Context, *path: str) -> click.Command:
    command: click.Command = root
    for name in path:
        assert isinstance(command, click.Group)
        found = command.get_command(context, name)
        assert found is not None
        command = found
    return command
