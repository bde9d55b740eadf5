"""Policies: what a file may say, what follows from it, and which file is meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from muniment import Reason, Verdict
from muniment.errors import PolicyError, UnknownNameError
from muniment.generation.policy import (
    NO_POLICY,
    FilterRule,
    installed_policies,
    load_policy,
    parse_policy,
    resolve_policy,
)
from support.plugins import PluginFolder

WHOLE = """
policy: team
version: "3"
filters:
  - filter: blocklist
    stages: [output]
    mode: observe
    thresholds: {insult: {flag: 0.5, block: 0.9}}
    parameters: {category: weapons, terms: [pipe bomb, 炸弹]}
    time_limit: 2
  - filter: other
"""


def test_a_policy_says_all_it_can_say() -> None:
    policy = parse_policy(WHOLE, "team.yaml")
    first, second = policy.filters
    assert policy.label == "team@3"
    assert policy.document == WHOLE
    assert first == FilterRule(
        "blocklist",
        ("output",),
        "observe",
        {"insult": {"flag": 0.5, "block": 0.9}},
        {"category": "weapons", "terms": ["pipe bomb", "炸弹"]},
        2.0,
    )
    assert second == FilterRule("other", ("prompt", "output"), "enforce", {}, {}, 30.0)


@pytest.mark.parametrize(
    "version", ["3", "010", "12:30", "0x1f", "1_000", "2024-13-45", "no", "1.2.3", "+1", "'0'"]
)
def test_a_version_is_recorded_as_it_is_written(version: str) -> None:
    policy = parse_policy(f"policy: a\nversion: {version}\nfilters: []\n", "x")
    assert policy.label == f"a@{version.strip(chr(39))}"
    assert policy.filters == ()


@pytest.mark.parametrize("word", ["no", "off", "yes", "on", "y", "No"])
def test_a_word_is_not_read_as_true_or_false(word: str) -> None:
    rule = f"{{filter: a, parameters: {{x: {word}}}}}"
    assert parse_policy(one(rule), "x").filters[0].parameters == {"x": word}


def test_every_rule_has_a_name() -> None:
    rules = "\n- ".join(
        ["{filter: a}", "{filter: a, name: b}", "{filter: b}", "{filter: a}", "{filter: a-2}"]
    )
    names = parse_policy(one(rules), "x").rule_names
    assert names == ("a", "b", "b-2", "a-2", "a-2-2")


def test_two_rules_cannot_have_one_name() -> None:
    with pytest.raises(PolicyError, match="two rules named 'x'"):
        parse_policy(one("{filter: a, name: x}\n- {filter: b, name: x}"), "p.yaml")


def test_aliases_are_refused_before_they_are_expanded() -> None:
    levels = [f"- &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 12)]
    bomb = "\n      ".join(["terms:", "- &l0 [x]", *levels])
    with pytest.raises(PolicyError, match="alias"):
        parse_policy(one(f"filter: b\n  parameters:\n      {bomb}"), "x")


def one(rule: str) -> str:
    return f"policy: a\nversion: 1\nfilters:\n- {rule}\n"


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        ("", "the file is empty; write its name"),
        ("# nothing\n", "the file is empty; write its name"),
        ("null\n", "the file must be a mapping"),
        ("~", "the file must be a mapping"),
        ("- filter: a\n", "the file must be a mapping"),
        ("[]\n", "the file must be a mapping"),
        ("text\n", "the file must be a mapping"),
        ("{1: a}", "key: expected `str`; use the fields policy, version, filters"),
        ("policy: [", "is not valid YAML in line"),
        ("a: b: c", "in line 1: mapping values are not allowed here; correct this line"),
        (
            "a: 1\nb:\n\t- c",
            r"in line 3: found character '\t' that cannot start",
        ),
        (
            "a: 1\nb: \x07",
            r"in line 2: found the character '\x07', which YAML",
        ),
        ("a: 1\n---\nb: 2", "in line 2: found another document; correct"),
        ("policy: a\nversion: 1", "missing required field `filters`; use a list"),
        ("\x07", "is not valid YAML"),
        ("!!python/object/apply:os.system [true]", "is not valid YAML"),
        ("[" * 1500, "is nested too deeply; remove brackets"),
        ("a: " + "1" * 5000, "contains a number that is too long; shorten it"),
        ("a: &a [*a]", "contains an alias"),
        ("a: 1", "unknown field `a`; available: policy, version, filters"),
        ("version: 1", "; add a name, e.g."),
        ("policy: 5\nversion: 1", "; add a name, e.g."),
        ("policy: ''\nversion: 1", "; add a name, e.g."),
        ("policy: a", "; add a version, e.g."),
        ("policy: a\nversion: true", "; add a version, e.g."),
        ("policy: a\nversion: 1.0", "; add a version, e.g."),
        (
            "policy: a\nversion: 1\nfilter: []",
            "unknown field `filter` (did you mean filters?)",
        ),
        ("policy: a\nversion: 1\nfilters:", "filters: expected `array`"),
        ("policy: a\nversion: 1\nfilters: {a: b}", "filters: expected `array`"),
        ("policy: a\nversion: 1\nfilters: []\nfilters: []", "contains the key 'filters' twice"),
        (one("blocklist"), "filters[0]: expected `object`, got `str`; use the fields filter, "),
        (one("{}"), "filters[0]: object missing required field `filter`; add the name of a"),
        (
            one("{filter: 5}"),
            "filters[0].filter: expected `str`, got `int`; add the name of a filter",
        ),
        (
            one("{filter: a}\n- {filter: b, stage: output}"),
            "filters[1]: object contains unknown field `stage` (did you mean stages?)",
        ),
        (one("{filter: a, mode: enforce, mode: observe}"), "contains the key 'mode' twice"),
        (one("{filter: a, stages: output}"), "; use a list of prompt, input, output and item"),
        (one("{filter: a, stages: []}"), "; use a list of prompt, input, output and item"),
        (one("{filter: a, stages: [system]}"), "; use a list of prompt, input, output and item"),
        (one("{filter: a, stages: [[prompt]]}"), "; use a list of prompt, input, output and item"),
        (one("{filter: a, stages:}"), "; use a list of prompt, input, output and item"),
        (
            one("{filter: a, mode: watch}"),
            "filters[0].mode: invalid enum value 'watch'; use enforce or observe",
        ),
        (
            one("{filter: a, mode: [enforce]}"),
            "filters[0].mode: expected `str`, got `array`; use enforce or observe",
        ),
        (one("{filter: a, thresholds: 0.5}"), "filters[0].thresholds: expected `object`"),
        (one("{filter: a, thresholds: {block: 0.5}}"), "e.g. `thresholds: {insult: {block: 0.9}}`"),
        (one("{filter: a, thresholds: {x: 0.5}}"), "filters[0].thresholds[...]: expected `object`"),
        (one("{filter: a, thresholds: {x: {block: 1e-1}}}"), "expected `float`, got `str`"),
        (one("{filter: a, time_limit: 1e2}"), "expected `float`, got `str`; use seconds"),
        (
            one("{filter: a, thresholds: {x: {deny: 1}}}"),
            "thresholds[...]: invalid enum value 'deny'; use numbers from 0 to 1",
        ),
        (
            one("{filter: a, thresholds: {x: {}}}"),
            "thresholds[...]: expected `object` of length >= 1; use numbers from 0 to 1",
        ),
        (
            one("{filter: a, thresholds: {x: {block: 2}}}"),
            "filters[0].thresholds[...][...]: expected `float`",
        ),
        (
            one("{filter: a, thresholds: {x: {block: .nan}}}"),
            "filters[0].thresholds[...][...]: expected `float`",
        ),
        (
            one("{filter: a, thresholds: {x: {block: yes}}}"),
            "filters[0].thresholds[...][...]: expected `float`",
        ),
        (
            one("{filter: a, thresholds: {x: {block: '1'}}}"),
            "filters[0].thresholds[...][...]: expected `float`",
        ),
        (
            one("{filter: a, thresholds: {x: {flag: 0.9, block: 0.5}}}"),
            "filters[0].thresholds has a flag above the block of 'x'",
        ),
        (one("{filter: a, thresholds: {x: {flag: 1}, x: {}}}"), "contains the key 'x' twice"),
        (
            one("{filter: a, time_limit: 0}"),
            "filters[0].time_limit: expected `float` > 0.0; use seconds, above 0",
        ),
        (one("{filter: a, time_limit: -1}"), "; use seconds, above 0 and up to a day"),
        (one("{filter: a, time_limit: .inf}"), "; use seconds, above 0 and up to a day"),
        (one("{filter: a, time_limit: .nan}"), "; use seconds, above 0 and up to a day"),
        (one("{filter: a, time_limit: yes}"), "; use seconds, above 0 and up to a day"),
        (one("{filter: a, time_limit: 2s}"), "expected `float`, got `str`; use seconds"),
        (one("{filter: a, parameters: [x]}"), "; use a mapping of names to values"),
        (one("{filter: a, parameters: {1: x}}"), "; use a mapping of names to values"),
        ('{policy: "a\\nb", version: 1, filters: []}', "the name (policy) contains"),
        ('{policy: " ", version: 1, filters: []}', "the name (policy) has no visible"),
        ('{policy: a, version: "\\u200b", filters: []}', "the version has no visible"),
        ('{policy: a, version: "1\\e", filters: []}', "the version contains"),
        (one('{filter: a, name: "x\\ty"}'), "the name of a rule contains"),
        (one('{filter: a, name: " "}'), "the name of a rule has no visible"),
    ],
)
def test_a_malformed_policy_is_refused_in_a_sentence_that_names_what_is_wrong(
    document: str, complaint: str
) -> None:
    with pytest.raises(PolicyError) as caught:
        parse_policy(document, "strict.yaml")
    assert str(caught.value).startswith("policy strict.yaml: ")
    assert complaint in str(caught.value)
    assert caught.value.source == "strict.yaml"


# ---- what follows from a verdict ---------------------------------------------------------------


def action(verdict: Verdict, **rule: object) -> str:
    return FilterRule("f", **rule).action(verdict)  # type: ignore[arg-type]


@pytest.mark.parametrize("decision", ["allow", "flag", "block"])
def test_without_thresholds_the_decision_is_what_is_done(decision: str) -> None:
    assert action(Verdict(decision, {"insult": 1.0})) == decision  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("score", "done"),
    [(0.0, "allow"), (0.49, "allow"), (0.5, "flag"), (0.89, "flag"), (0.9, "block"), (1, "block")],
)
@pytest.mark.parametrize("decision", ["allow", "flag", "block"])
def test_a_category_with_thresholds_is_judged_by_its_score_alone(
    decision: str, score: float, done: str
) -> None:
    limits = {"insult": {"flag": 0.5, "block": 0.9}}
    verdict = Verdict(decision, {"insult": score}, (Reason("insult"),))  # type: ignore[arg-type]
    assert action(verdict, thresholds=limits) == done


def test_a_category_without_a_limit_to_block_never_blocks() -> None:
    verdict = Verdict("block", {"insult": 1.0}, (Reason("insult"),))
    assert action(verdict, thresholds={"insult": {"flag": 0.5}}) == "flag"


@pytest.mark.parametrize(
    "verdict",
    [
        Verdict("block", {"insult": 0.1, "weapons": 0.2}),
        Verdict("block", {"insult": 0.1}, (Reason("weapons"),)),
        Verdict("block", {}),
        Verdict("block", {"insult": 0.0}),
        Verdict("block", {}, (Reason("insult"),)),  # found, and no score to judge it by
    ],
)
def test_a_decision_that_no_threshold_accounts_for_stands(verdict: Verdict) -> None:
    assert action(verdict, thresholds={"insult": {"block": 0.9}}) == "block"


def test_observing_lets_everything_pass_but_a_failed_filter() -> None:
    limits = {"insult": {"block": 0.1}}
    found = Verdict("block", {"insult": 1.0})
    assert action(found, mode="observe", thresholds=limits) == "allow"
    assert action(Verdict("allow", failure="it raised"), mode="observe") == "block"


def test_what_applies_to_prompts_applies_to_system_prompts() -> None:
    rule = FilterRule("f", ("prompt",))
    assert [rule.applies(stage) for stage in ("system", "prompt", "output")] == [True, True, False]
    rule = FilterRule("f", ("output",))
    assert [rule.applies(stage) for stage in ("system", "prompt", "output")] == [False, False, True]


# ---- which file is meant -----------------------------------------------------------------------


def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"policy: \xe9")
    with pytest.raises(PolicyError, match=r"latin\.yaml: is not UTF-8 text"):
        load_policy(tmp_path / "latin.yaml")
    with pytest.raises(PolicyError, match="cannot be read: No such file"):
        load_policy(tmp_path / "gone.yaml")
    with pytest.raises(PolicyError, match="cannot be read: Is a directory"):
        load_policy(tmp_path)


@pytest.mark.parametrize("name", ["a\0b.yaml", "x" * 5000 + ".yaml", "gone.yml"])
def test_a_path_that_names_no_file_is_one_sentence(name: str) -> None:
    with pytest.raises(UnknownNameError, match="there is no file at this path"):
        resolve_policy(name)


@pytest.mark.parametrize("name", ["tem", "a\0b", "x" * 5000, "/nowhere/at/all"])
def test_an_unknown_name_tells_the_known_ones(plugin_folder: PluginFolder, name: str) -> None:
    plugin_folder.add("", policies={"team-rules": "p.yaml"}, files={"p.yaml": WHOLE})
    with pytest.raises(UnknownNameError, match=r"none.*team-rules.*or give the path of a YAML"):
        resolve_policy(name)


def test_a_policy_is_found_by_its_installed_name_without_importing_the_package(
    plugin_folder: PluginFolder,
) -> None:
    plugin_folder.add(
        "raise RuntimeError('imported')",
        policies={"team-rules": "p/team.yaml"},
        files={"p/team.yaml": WHOLE},
    )
    policy = resolve_policy("team-rules")
    assert policy.label == "team@3"
    assert policy.source.endswith("p/team.yaml")


def test_a_policy_in_a_deeper_package_is_found_without_importing_those_above(
    plugin_folder: PluginFolder,
) -> None:
    plugin = plugin_folder.add(
        "raise RuntimeError", files={"deep/__init__.py": "", "deep/p.yaml": WHOLE}
    )
    info = next(plugin_folder.folder.glob("*.dist-info"))
    (info / "entry_points.txt").write_text(
        f"[muniment.policies]\nteam-rules = {plugin.module}.deep:p.yaml\n"
    )
    assert resolve_policy("team-rules").label == "team@3"


def test_a_policy_of_a_distribution_that_pip_is_deleting_is_not_found(
    plugin_folder: PluginFolder,
) -> None:
    plugin_folder.add("", policies={"team-rules": "p.yaml"}, files={"p.yaml": WHOLE})
    info = next(plugin_folder.folder.glob("*.dist-info"))
    info.rename(info.with_name(f"~{info.name[1:]}"))
    assert "team-rules" not in installed_policies()
    with pytest.raises(UnknownNameError):
        resolve_policy("team-rules")


def test_an_installed_policy_whose_file_is_gone_is_an_error_and_not_no_policy(
    plugin_folder: PluginFolder,
) -> None:
    plugin_folder.add("", policies={"team-rules": "gone.yaml"})
    with pytest.raises(PolicyError, match="cannot be read"):
        resolve_policy("team-rules")


def test_two_distributions_shipping_one_name_are_both_named(plugin_folder: PluginFolder) -> None:
    for name in ("dist-one", "dist-two"):
        plugin_folder.add(
            "", distribution=name, policies={"rules": "p.yaml"}, files={"p.yaml": WHOLE}
        )
    with pytest.raises(PolicyError, match=r"provided by dist-.* and dist-.*; give the path"):
        resolve_policy("rules")
    assert {name for name, _ in installed_policies()["rules"]} == {"dist-one", "dist-two"}


def test_a_file_in_the_current_folder_does_not_stand_in_for_an_installed_policy(
    plugin_folder: PluginFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin_folder.add("", policies={"team-rules": "p.yaml"}, files={"p.yaml": WHOLE})
    monkeypatch.chdir(tmp_path)
    for name in ("team-rules", "default", "none"):
        Path(name).write_text("{policy: stray, version: 1, filters: []}")
    assert resolve_policy("team-rules").name == "team"
    assert resolve_policy("./team-rules").name == "stray"
    assert resolve_policy("none") is NO_POLICY
    assert resolve_policy(None).name != "stray"


def test_the_installed_default_is_in_force_when_none_is_named(
    plugin_folder: PluginFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.path", [str(plugin_folder.folder)])
    assert resolve_policy(None) is NO_POLICY
    plugin_folder.add("", policies={"default": "p.yaml"}, files={"p.yaml": WHOLE})
    assert resolve_policy(None).name == "team"
    assert resolve_policy("none") is NO_POLICY
