"""Seed faults into the code, one at a time, and check that the tests detect each of them.

    .venv/bin/python tests/faults.py [-j JOBS] [--only NAME...] [--json]

The tree is copied to a temporary folder, once per job. Each copy has a virtual environment in which
the copied packages shadow the installed ones, for subprocesses too. The named tests also run once
without a fault, where they must pass. The exit code is 1 when a fault is missed, when a fault does
not fit its file, or when the tests fail without a fault.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import queue
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Fault:
    """A change to one file, and the tests of which at least one must fail with it.

    `old` occurs exactly once in `file`. `tests` are pytest node ids below `tests/`. `timeout` is
    the limit of one test in seconds. It is small where the fault makes a test hang.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    timeout: int = 120


FAULTS = (
    # ---- filters, policies, streaming ---------------------------------------------------------
    Fault(
        "filter-that-raises-allows",
        "core/muniment/generation/assessment.py",
        "verdict = self._failed(\n                    explain(",
        'verdict = Verdict("allow") or self._failed(\n                    explain(',
        (
            "core/test_moderation.py::test_a_filter_that_raises_or_answers_nonsense_blocks",
            "core/test_moderation.py::test_a_filter_that_fails_on_the_output_keeps_the_output_from_the_caller",
        ),
    ),
    Fault(
        "missing-filter-allows",
        "core/muniment/generation/assessment.py",
        'verdict = Verdict("block", failure=self.failure)',
        'verdict = Verdict("allow")',
        ("core/test_moderation.py::test_a_filter_that_is_not_installed_blocks",),
    ),
    Fault(
        "prompt-rules-do-not-judge-inputs",
        "core/muniment/generation/policy.py",
        '"input": "prompt", ',
        "",
        ("core/test_inputs.py::test_rules_for_prompts_judge_inputs_too",),
    ),
    Fault(
        "held-generation-loses-its-shared-input",
        "core/muniment/store/retention/inputs.py",
        "if protecting.isdisjoint(users[item])",
        "if True",
        (
            "store/test_erasing_inputs.py::test_an_input_of_a_generation_on_hold_is_skipped_and_counted",
        ),
    ),
    Fault(
        "failed-filter-in-observe-mode-allows",
        "core/muniment/generation/policy.py",
        'return "block"',
        'return "allow" if self.mode == "observe" else "block"',
        (
            "core/test_moderation.py::test_a_filter_that_fails_blocks_in_observe_mode_and_whatever_the_thresholds",
            "core/test_pipeline.py::test_a_filter_that_failed_was_not_observed",
        ),
    ),
    Fault(
        "score-at-threshold-is-below-it",
        "core/muniment/generation/policy.py",
        "if score >= self.thresholds",
        "if score > self.thresholds",
        ("core/test_policy.py::test_a_category_with_thresholds_is_judged_by_its_score_alone",),
    ),
    Fault(
        "text-is-streamed-before-output-filters",
        "core/muniment/generation/pipeline.py",
        "withheld = stream and self._policy_runner.judges_output(media_type)",
        "withheld = False",
        (
            "core/test_streaming.py::test_pieces_are_held_back_where_a_filter_judges_outputs",
            "core/test_streaming.py::test_pieces_are_held_back_where_a_filter_of_outputs_is_missing",
        ),
    ),
    # ---- seeds, parameters, replay, models ----------------------------------------------------
    Fault(
        "recorded-seed-is-truncated",
        "core/muniment/ledger/division.py",
        "str(generation.seed)",
        "str(generation.seed % 2**32)",
        (
            "ledger/test_entries.py::test_what_is_written_today_has_the_golden_bytes",
            "core/test_replay.py::test_parameters_system_prompts_and_seeds_are_given_again",
        ),
    ),
    Fault(
        "parameter-default-is-not-recorded",
        "core/muniment/generation/requests.py",
        "parameters=dict(request.parameters),",
        "parameters={k: v for k, v in request.parameters if k in spec.parameters},",
        (
            "core/test_pipeline.py::test_a_generation_is_completed_and_recorded_as_it_is_returned",
            "core/test_session.py::test_a_generation_as_json_has_the_documented_fields",
        ),
    ),
    Fault(
        "replay-with-other-bytes-is-exact",
        "core/muniment/generation/replay.py",
        "if recorded != replayed:",
        "if len(recorded) != len(replayed):",
        (
            "core/test_replay.py::test_other_bytes_diverge_at_the_first_byte_that_differs",
            "core/test_replay.py::test_other_tokens_diverge_at_the_first_with_its_margin",
        ),
    ),
    Fault(
        "changed-model-files-are-accepted",
        "core/muniment/models/registry.py",
        "model_digest != added.digest",
        "not model_digest",
        (
            "core/test_models.py::test_changed_files_are_noticed_also_when_hashes_are_remembered",
            "core/test_models.py::test_a_file_added_later_is_noticed",
        ),
    ),
    # ---- the ledger: payloads, canonical form, signatures, proofs -----------------------------
    Fault(
        "payloads-share-one-salt",
        "core/muniment/ledger/payloads.py",
        "os.urandom(SALT_BYTES)",
        "bytes(SALT_BYTES)",
        ("ledger/test_entries.py::test_two_payloads_of_the_same_text_have_nothing_in_common",),
    ),
    Fault(
        "number-is-not-canonical",
        "core/muniment/ledger/fields.py",
        "return encode_number(decode_number(text)) == text",
        "return bool(text)",
        ("ledger/test_entries.py::test_a_number_is_read_only_in_its_one_form",),
    ),
    Fault(
        "altered-payload-is-shown",
        "core/muniment/ledger/assembly.py",
        "return compare_digest(commitment(kind, salt, content).hex(), expected)",
        "return bool(commitment(kind, salt, content))",
        (
            "ledger/test_entries.py::test_an_altered_payload_is_reported_and_not_read",
            "store/test_altered.py::test_an_altered_payload_is_reported_and_not_shown[sqlite-prompt]",
        ),
    ),
    Fault(
        "outcome-of-another-generation-is-shown",
        "core/muniment/store/queries/loader.py",
        "if started.generation != row.id or (outcome and outcome.generation != row.seq):",
        "if started.generation != row.id:",
        (
            "store/test_tampering.py::test_a_row_that_names_entries_of_another_generation_is_not_shown",
        ),
    ),
    Fault(
        "inconsistent-head-is-signed",
        "core/muniment/signing.py",
        "_raise_if_inconsistent(last.checkpoint, head, read)\n        note",
        "pass\n        note",
        (
            "store/test_signatures.py::test_a_tail_cut_off_after_a_checkpoint_is_found[sqlite]",
            "store/test_signatures.py::test_a_forked_history_is_found[sqlite]",
        ),
    ),
    Fault(
        "signature-is-not-verified",
        "core/muniment/ledger/checkpoints.py",
        "if not all(key.verify(s.signature, self.text.encode()) for s in matches):",
        "if not matches:",
        (
            "ledger/test_checkpoints.py::test_no_character_of_a_checkpoint_can_be_changed",
            "store/test_signatures.py::test_a_wrong_signature_under_the_right_name_is_found[sqlite]",
        ),
    ),
    Fault(
        "inclusion-is-not-verified",
        "core/muniment/ledger/proofs.py",
        "if not verify_inclusion(leaf_hash(entry.data), entry.number, head.size, path, head.root):",
        "if not entry.data:",
        ("ledger/test_proofs.py::test_a_path_to_the_root_of_an_earlier_size_is_refused",),
    ),
    # ---- verifying and erasing ----------------------------------------------------------------
    Fault(
        "projections-are-not-compared",
        "core/muniment/store/verification/projections.py",
        "if actual[column] != value:",
        "if column not in actual:",
        (
            "store/test_attacks.py::test_an_altered_column_is_found_and_named[sqlite-query tables]",
            "store/test_attacks.py::test_an_altered_column_is_found_and_named[sqlite-verdict]",
        ),
    ),
    Fault(
        "commitments-are-not-compared",
        "core/muniment/store/verification/payloads.py",
        "or commitment(kind, salt, content).hex() != reference.commitment",
        "or not commitment(kind, salt, content)",
        ("store/test_tampering.py::test_an_altered_prompt_is_named[sqlite]",),
    ),
    Fault(
        "erasure-leaves-search-rows",
        "core/muniment/store/retention/erasure.py",
        "index.delete(connection, _search_rows([row for row in loaded if not row[1].altered]))",
        "pass",
        (
            "store/test_erasing.py::test_an_erased_generation_is_in_no_file_of_the_store[sqlite]",
            "store/test_verifying.py::test_erasing_and_interruptions_leave_an_index_that_fits[sqlite]",
        ),
    ),
    Fault(
        "hold-is-ignored",
        "core/muniment/store/retention/plan.py",
        "rows = [row for row in rows if row.seq not in held | unfinished]",
        "rows = [row for row in rows if row.seq not in unfinished]",
        (
            "store/test_erasing.py::test_a_hold_forbids_erasing_until_it_is_released[sqlite]",
            "cli/test_people.py::test_a_hold_is_stronger_than_erasing",
        ),
    ),
    # ---- recording, finding, exporting, backups -----------------------------------------------
    Fault(
        "outcome-is-recorded-twice",
        "core/muniment/store/database/projections.py",
        '"outcome IS NULL"',
        '"seq IS NOT NULL"',
        (
            "store/test_recording.py::test_an_outcome_is_recorded_once[sqlite]",
            "store/test_recording.py::test_the_same_outcome_twice_in_one_call_is_refused[sqlite]",
        ),
    ),
    Fault(
        "lease-never-expires",
        "core/muniment/store/database/leases.py",
        "row.now - row.heartbeat_at < DEAD_AFTER_SECONDS * 1000",
        "True",
        (
            "store/test_processes.py::test_on_another_machine_the_heartbeat_counts[sqlite]",
            "store/test_processes.py::test_without_proc_the_heartbeat_counts[sqlite]",
        ),
    ),
    Fault(
        "phrase-order-is-ignored",
        "core/muniment/store/search/engine.py",
        "if not (phrase.exact and proved)",
        "if not proved",
        ('store/test_searching.py::test_a_search_finds[sqlite-"new moon"-prompts4]',),
    ),
    Fault(
        "list-page-skips-one",
        "core/muniment/store/queries/planner.py",
        "min(high, before - 1)",
        "min(high, before - 2)",
        (
            "store/test_finding.py::test_long_lists_are_whole_and_in_order[sqlite-{}]",
            "store/test_erasing.py::test_many_are_erased_in_pages[sqlite]",
        ),
    ),
    Fault(
        "resumed-export-duplicates-rows",
        "core/muniment/store/export/exporter.py",
        "part.truncate(self._state.size)\n        part.seek(self._state.size)",
        "part.seek(0, os.SEEK_END)",
        (
            "store/test_exporting.py::test_an_export_killed_after_any_page_ends_up_byte_equal[sqlite-jsonl]",
        ),
    ),
    Fault(
        "damaged-backup-is-accepted",
        "core/muniment/store/backup/sqlite.py",
        "if problems:",
        "if not verification.entries:",
        ("store/test_backup.py::test_a_backup_that_was_altered_is_refused[sqlite]",),
    ),
    # ---- provenance in files ------------------------------------------------------------------
    Fault(
        "prompt-of-a-parent-stays-in-the-manifest",
        "core/muniment/provenance/signatures.py",
        '_NEEDED = ("c2pa.actions", "c2pa.hash.", "c2pa.ingredient")',
        '_NEEDED = ("c2pa.actions", "c2pa.hash.", "c2pa.ingredient", "org.muniment.")',
        ("core/provenance/test_manifests.py::test_sign_with_a_parent_redacts_its_prompt",),
    ),
    Fault(
        "manifest-is-fetched-from-a-server",
        "core/muniment/provenance/c2pa_library.py",
        '"remote_manifest_fetch": False',
        '"remote_manifest_fetch": True',
        (
            "core/provenance/test_manifests.py::test_read_manifest_of_a_manifest_on_a_server_sends_no_request",
        ),
    ),
    Fault(
        "xmp-may-declare-entities",
        "core/muniment/provenance/xmp_packets.py",
        "        parser.StartDoctypeDeclHandler = self._refuse\n",
        "",
        ("core/provenance/test_xmp.py::test_read_xmp_of_a_document_type_raises_before_it_is_used",),
    ),
    Fault(
        "expired-certificate-is-loaded",
        "core/muniment/provenance/certificates.py",
        "if now >= each.not_valid_after_utc",
        "if now >= each.not_valid_after_utc + timedelta(days=365)",
        (
            "core/provenance/test_certificates.py::test_load_credentials_of_an_unusable_certificate_raises_with_the_reason",
        ),
    ),
    Fault(
        "private-file-has-the-prompt",
        "core/muniment/plugins/file_signer.py",
        'prompt="", parameters={}, models',
        "parameters={}, models",
        ("cli/test_provenance.py::test_a_private_file_has_neither_prompt_nor_parameters",),
    ),
    Fault(
        "file-is-not-signed",
        "core/muniment/plugins/file_signer.py",
        "if suffix not in SIGNED_TYPES or self._credentials is None:",
        "if True:",
        ("cli/test_provenance.py::test_a_file_is_signed_with_the_certificate_of_the_settings",),
    ),
    Fault(
        "generator-of-a-file-is-read-as-an-option",
        "core/muniment/cli/like.py",
        'context.session.plugins.find("generator", source.generator).name',
        "source.generator",
        (
            "cli/test_provenance.py::test_a_file_from_elsewhere_that_cannot_be_repeated_is_one_sentence",
        ),
    ),
    Fault(
        "model-path-in-a-file-is-used",
        "core/muniment/generation/repetition.py",
        "if name not in fields or not fields[name].model:",
        "if True:",
        ("core/test_repetition.py::test_a_path_in_a_file_from_elsewhere_is_not_used",),
    ),
    # ---- plugins, isolation, installing, the command line -------------------------------------
    Fault(
        "exit-in-plugin-import-escapes",
        "core/muniment/plugins/registry.py",
        "except BaseException as error:\n            raise PluginError(\n                name,",
        "except Exception as error:\n            raise PluginError(\n                name,",
        ("core/test_plugins.py::test_a_broken_plugin_is_one_line_that_names_it_and_says_why",),
    ),
    Fault(
        "isolation-timeout-is-ignored",
        "core/muniment/plugins/isolation/process.py",
        "time.monotonic() + seconds",
        "time.monotonic() + 3600 * seconds",
        ("isolation/test_failures.py::test_the_setting_of_a_plugin_limits_its_filter_too",),
        timeout=15,
    ),
    Fault(
        "failed-installation-is-not-rolled-back",
        "plugins/installer/muniment_installer/transaction.py",
        "self._undo(journal)\n",
        "pass\n",
        (
            (
                "installer/test_installing.py"
                "::test_what_cannot_be_is_refused_and_nothing_changes[double-import error]"
            ),
        ),
    ),
    Fault(
        "blocked-generation-exits-with-0",
        "core/muniment/cli/exit_codes.py",
        '"blocked": BLOCKED',
        '"blocked": DONE',
        ("cli/test_generate.py::test_a_blocked_prompt_exits_with_3_and_says_why",),
    ),
    # ---- plugins of this repository -----------------------------------------------------------
    Fault(
        "invisible-characters-hide-a-term",
        "plugins/moderation/muniment_moderation/normalise.py",
        "if index >= 0 and code <= IGNORABLE[index][1]:",
        "if index >= 0 and code < IGNORABLE[index][0]:",
        ("moderation/test_terms.py::test_an_english_term_is_found_however_it_is_dressed_up",),
    ),
    Fault(
        "sampling-noise-ignores-the-step",
        "plugins/text/muniment_text/noise.py",
        "(step + 1) * GOLDEN",
        "GOLDEN",
        ("text/test_noise.py::test_golden_values_never_change",),
    ),
    Fault(
        "transparent-pixels-match-a-record",
        "plugins/image/muniment_image/verification.py",
        "if properties := min((differences(report.data, each) for each in pictures), key=len):",
        "if properties := []:",
        ("image/test_verify_command.py::test_pixels_that_look_different_do_not_match",),
    ),
    Fault(
        "changed-label-is-not-noted",
        "plugins/image/muniment_image/implicit_labels.py",
        "if not is_same or any(label.get(key) != value for key, value in own.items()):",
        "if not is_same:",
        (
            "image/test_verify_command.py::test_a_label_that_is_missing_or_changed_in_an_unsigned_file_is_noted[suspected]",
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one run of pytest: exit code, duration, failed tests and output."""

    code: int
    seconds: float
    failed: tuple[str, ...]
    output: str

    @property
    def word(self) -> str:
        """Return what the run shows about a fault; other exit codes mean that no test ran."""
        return {0: "MISSED", 1: "caught"}.get(self.code, "BROKEN")


class Copy:
    """A copy of the tree with its own virtual environment, for one run of pytest at a time."""

    def __init__(self, folder: Path) -> None:
        self.tree = folder / "tree"
        self._temporary = folder / "tmp"
        self._ticks = itertools.count(1)
        shutil.copytree(ROOT, self.tree, ignore=_ignored)
        self._python = _environment(folder / "env", self.tree)

    def run(self, tests: Iterable[str], *options: str) -> Result:
        """Run tests and return the result."""
        command = [
            *(str(self._python), "-m", "pytest", "-q", "--no-header", "--tb=line", "-rfE"),
            *("-p", "no:cacheprovider", f"--basetemp={self._temporary}", *options),
            *(f"tests/{test}" for test in tests),
        ]
        variables = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
        variables["PATH"] = f"{self._python.parent}{os.pathsep}{variables.get('PATH', '')}"
        start = time.monotonic()
        done = subprocess.run(
            command,
            cwd=self.tree,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        )
        failed = tuple(
            line.partition(" ")[2].partition(" - ")[0]
            for line in done.stdout.splitlines()
            if line.startswith(("FAILED ", "ERROR "))
        )
        return Result(done.returncode, time.monotonic() - start, failed, done.stdout)

    def run_with(self, fault: Fault) -> Result:
        """Apply a fault, run its tests up to the first failure, and restore the file."""
        path = self.tree / fault.file
        text, modified = path.read_text("utf-8"), path.stat().st_mtime
        try:
            path.write_text(text.replace(fault.old, fault.new), "utf-8")
            # Python recognizes stale bytecode by the source's size and its time in whole seconds.
            later = modified + next(self._ticks)
            os.utime(path, (later, later))
            return self.run(fault.tests, "-x", f"--timeout={fault.timeout}")
        finally:
            path.write_text(text, "utf-8")
            os.utime(path, (modified, modified))


def _ignored(folder: str, names: list[str]) -> set[str]:
    """Return the names that are not copied: bytecode, and hidden files and builds at the top."""
    if Path(folder) == ROOT:
        return {name for name in names if name.startswith(".") or name in ("build", "dist")}
    return {"__pycache__"}


def _environment(folder: Path, tree: Path) -> Path:
    """Create a virtual environment in which the copied packages come first; return its Python.

    PYTHONPATH is not enough, because some tests set it for their subprocesses.
    """
    venv.EnvBuilder(symlinks=True).create(folder)
    python = folder / "bin" / "python"
    prefix = Path(sys.prefix).resolve()
    # Editable installs put folders of this tree on sys.path. Its first item is the script's folder.
    own = [path for path in map(Path, sys.path[1:]) if path.is_relative_to(ROOT)]
    copied = [tree / path.relative_to(ROOT) for path in own if not path.is_relative_to(prefix)]
    installed = f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})"
    (modules,) = folder.glob("lib/python*/site-packages")
    (modules / "faults.pth").write_text("\n".join([*map(str, copied), installed, ""]), "utf-8")
    shebang = f"#!{sys.executable}".encode()
    for program in Path(sys.executable).parent.iterdir():
        target = python.with_name(program.name)
        if not target.exists() and program.is_file():
            content = program.read_bytes()
            if content.startswith(shebang):
                target.write_bytes(f"#!{python}".encode() + content.removeprefix(shebang))
                target.chmod(0o755)
    command = [python, "-I", "-c", "import muniment; print(muniment.__file__)"]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    if not Path(found).is_relative_to(tree):
        sys.exit(f"the tests would use {found}; run this with the Python that `make install` made")
    return python


def misfit(fault: Fault) -> str | None:
    """Return why a fault cannot be applied to the tree, or None."""
    try:
        count = (ROOT / fault.file).read_text("utf-8").count(fault.old)
    except OSError as error:
        return f"{fault.name}: {fault.file}: {error.strerror}"
    if count == 1:
        return None
    return f"{fault.name}: {fault.file} contains {fault.old!r} {count} times, not once"


def run(faults: Sequence[Fault], jobs: int, *, as_json: bool) -> bool:
    """Try faults, `jobs` at a time, and print the results; return whether all were caught."""
    records = []
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="faults-") as name, ThreadPoolExecutor(jobs) as pool:
        copies: queue.SimpleQueue[Copy] = queue.SimpleQueue()
        for number in range(jobs):
            folder = Path(name).resolve() / str(number)
            folder.mkdir()
            copies.put(Copy(folder))

        def attempt(fault: Fault | None) -> Result:
            copy = copies.get()
            try:
                if fault is not None:
                    return copy.run_with(fault)
                return copy.run(dict.fromkeys(test for each in faults for test in each.tests))
            finally:
                copies.put(copy)

        try:
            unmodified = pool.submit(attempt, None)
            for fault, result in zip(faults, pool.map(attempt, faults), strict=True):
                records.append(
                    {
                        "name": fault.name,
                        "file": fault.file,
                        "result": result.word.lower(),
                        "seconds": round(result.seconds, 1),
                        "tests": list(fault.tests),
                        "failed": list(result.failed),
                    }
                )
                if not as_json:
                    print(f"{result.word}  {result.seconds:5.1f} s  {fault.name}", flush=True)
                if result.word == "BROKEN":
                    print(result.output, file=sys.stderr)
            baseline = unmodified.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    caught = sum(record["result"] == "caught" for record in records)
    if as_json:
        print(json.dumps(records, indent=1, ensure_ascii=False))
    else:
        seconds = time.monotonic() - start
        verb = "pass" if baseline.code == 0 else "FAIL"
        print(f"{caught} of {len(faults)} caught in {seconds:.0f} s, {jobs} at a time")
        print(f"the tests {verb} without a fault ({baseline.seconds:.0f} s)")
    if baseline.code != 0:
        print(baseline.output, file=sys.stderr)
    return caught == len(faults) and baseline.code == 0


def main() -> int:
    """Parse the arguments, check that every fault fits its file, and try them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "-j",
        "--jobs",
        type=int,
        default=os.cpu_count() or 1,
        help="number of faults tried at a time (default: number of cores)",
    )
    parser.add_argument("--only", nargs="+", metavar="NAME", help="names of faults, or parts")
    parser.add_argument("--json", dest="as_json", action="store_true", help="print a JSON list")
    options = parser.parse_args()
    parts = options.only or [""]
    for part in parts:
        if not any(part in fault.name for fault in FAULTS):
            parser.error(f"no fault has {part!r} in its name")
    faults = [fault for fault in FAULTS if any(part in fault.name for part in parts)]
    misfits = [why for fault in faults if (why := misfit(fault)) is not None]
    if misfits:
        print(*misfits, sep="\n", file=sys.stderr)
        return 1
    return 0 if run(faults, max(1, options.jobs), as_json=options.as_json) else 1


if __name__ == "__main__":
    sys.exit(main())
