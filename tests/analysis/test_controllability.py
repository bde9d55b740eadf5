"""Experiments are generated, recorded, read back and analysed; known causes are found again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

import muniment
from muniment_analysis.controllability import report_page
from muniment_analysis.controllability.analysis import analyse
from muniment_analysis.controllability.experiment import resume_experiment, run_experiment
from muniment_analysis.controllability.experiment_design import parse_design
from muniment_analysis.controllability.reading import recorded_design
from muniment_analysis.controllability.report import ControllabilityReport
from muniment_analysis.controllability.report_json import to_json
from muniment_analysis.controllability.typos import misspell
from muniment_analysis.errors import AnalysisError, DesignFileError, SampleError
from support.experiments import add_dial, design
from support.workspace import Workspace

RUN = "01HZZZZZZZZZZZZZZZZZZZZZZZ"


@pytest.fixture
def workspace(home: Path, plugin_folder: object) -> Workspace:
    import muniment_analysis.plugin as plugin
    from muniment.plugins.discovery import Plugin
    from support.plugins import PluginFolder

    assert isinstance(plugin_folder, PluginFolder)
    made = Workspace(home, plugin_folder)
    plugin_folder.all.append(Plugin("muniment-analysis", "0.1.0", "analysis", plugin.__name__))
    return made


def run(workspace: Workspace, document: str, **options: object) -> ControllabilityReport:
    plan = parse_design(document, "d.yaml")
    run_experiment(workspace.session, plan, document, RUN)
    return analyse(workspace.session, RUN, recorded_design(workspace.session, RUN), **options)  # type: ignore[arg-type]


def test_an_output_that_only_a_control_moves_is_controllable(workspace: Workspace) -> None:
    add_dial(workspace.plugin_folder, control=1)
    report = run(workspace, design())
    [result] = report.measures
    assert result.shares is not None
    assert result.shares.controllability == (1, 1, 1, 10)
    assert result.shares.shares["seed"].value == 0
    response = result.response["level"]
    assert [mean.value for mean in response.means] == [0, 10]
    assert response.slope is not None
    assert response.slope.value == pytest.approx(1)
    assert response.spearman is not None
    assert response.spearman.value == pytest.approx(1)
    assert result.distances["setting"].value == 10
    assert result.step_ratio is None
    assert report.outputs.agreement.value == 1
    assert report.outputs.agreement.low == pytest.approx(0.025**0.1)
    assert report.outputs.entropy.value == 0
    workspace.check()


def test_an_output_that_only_the_wording_moves_is_not(workspace: Workspace) -> None:
    add_dial(workspace.plugin_folder, wording=5)
    [result] = run(workspace, design()).measures
    assert result.shares is not None
    assert result.shares.controllability is not None
    assert result.shares.controllability.value == 0
    assert result.shares.shares["paraphrase"].value == 1
    assert result.distances["paraphrase"].value == pytest.approx(20 / 3)


def test_an_output_that_only_the_seed_moves_has_its_share(workspace: Workspace) -> None:
    add_dial(workspace.plugin_folder, noise=40)
    report = run(workspace, design(items=20))
    [result] = report.measures
    assert result.shares is not None
    assert result.shares.shares["seed"].low > 0.5
    assert result.step_ratio is not None
    assert result.step_ratio.value == pytest.approx(1, abs=0.3)
    assert any("seed moves the output most" in sentence for sentence in to_json(report)["advice"])


def test_the_seeds_of_all_cells_differ_and_follow_from_the_design(workspace: Workspace) -> None:
    add_dial(workspace.plugin_folder)
    document = design(items=10)
    run(workspace, document + "\n# constant outputs")
    seeds = [generation.seed for generation in workspace.session.cells(RUN)]
    assert len(set(seeds)) == len(seeds) == 120
    assert seeds[1] == muniment.derive_seed(7, "item-0", 0, 0, 1)


def test_constant_outputs_have_no_shares_and_say_so(workspace: Workspace) -> None:
    add_dial(workspace.plugin_folder)
    report = run(workspace, design())
    [result] = report.measures
    assert result.shares is None
    assert "no variance" in str(result.constant)
    assert "no variance" in report_page.html(report)


def test_wordings_of_texts_are_compared_by_distances(workspace: Workspace) -> None:
    add_dial(workspace.plugin_folder, control=1, noise=3)
    [result] = run(workspace, design(measures=["wording"])).measures
    assert result.shares is not None
    assert set(result.shares.shares) == {"paraphrase", "level", "paraphrase:level", "seed"}
    assert not result.response


def test_an_error_from_a_requested_number_is_measured(workspace: Workspace) -> None:
    add_dial(workspace.plugin_folder, control=1.5)
    measure = "{measure: text-statistics.words, requested: level}"
    [result] = run(workspace, design(measures=[measure])).measures
    assert result.error["absolute"].value == pytest.approx(2.5)
    assert result.error["signed"].value == pytest.approx(2.5)


def test_a_setting_between_braces_fills_the_prompts(workspace: Workspace) -> None:
    add_dial(workspace.plugin_folder, wording=1)
    document = design(settings="{count: [1, 2]}", paraphrases=1).replace("#0", "#{count}")
    [result] = run(workspace, document).measures
    assert result.shares is not None
    assert result.shares.shares["count"].value == 1
    prompts = {generation.prompt for generation in workspace.session.cells(RUN)}
    assert prompts >= {"题 0 #1", "题 9 #2"}


def test_typing_mistakes_are_generated_beside_the_layout(workspace: Workspace) -> None:
    add_dial(workspace.plugin_folder, noise=5)
    document = design(extra="typos: 2").replace("题", "question about")
    report = run(workspace, document)
    [result] = report.measures
    assert result.typos is not None
    assert report.design.size == 10 * (3 + 2) * 2 * 2
    prompts = [item.prompt for item in workspace.session.cells(RUN)]
    assert len({prompt for prompt in prompts if "question about" not in prompt}) >= 10


def test_typing_mistakes_spare_the_names_of_settings() -> None:
    for seed in range(200):
        text = misspell("写 {count} words: {mood}", seed)
        assert "{count}" in text
        assert "{mood}" in text
        assert text != "写 {count} words: {mood}"


def test_a_value_with_braces_is_not_filled_again() -> None:
    document = design(settings="{a: ['{b}', x], b: [y, z]}", paraphrases=1).replace("#0", "{a}{b}")
    plan = parse_design(document, "d.yaml")
    assert plan.filled("{a}{b}", {"a": "{b}", "b": "y"}) == "{b}y"


def test_without_a_control_no_item_is_the_worst(workspace: Workspace) -> None:
    add_dial(workspace.plugin_folder, wording=5, noise=3)
    report = run(workspace, design(settings="{}"))
    assert report.worst == []
    assert "follow the control" not in report_page.html(report)


def test_incomplete_items_are_left_out_whole_and_named(workspace: Workspace) -> None:
    refuses = "request.prompt.startswith('题 3 ') and request.parameters.level > 5"
    add_dial(workspace.plugin_folder, control=1, noise=3, refuses=refuses)
    report = run(workspace, design(items=12))
    assert report.complete == 11
    assert report.left_out == {"item-3": {"failed": 6}}
    assert report.lost == [0, 6]
    assert any("item-3" in warning for warning in report.warnings)
    page = report_page.html(report)
    assert "6 failed" in page
    assert "<tr><td>level=10</td><td>6</td></tr>" in page


def test_too_many_incomplete_items_need_consent(workspace: Workspace) -> None:
    refuses = "request.prompt.startswith(('题 3 ', '题 4 '))"
    add_dial(workspace.plugin_folder, control=1, noise=3, refuses=refuses)
    with pytest.raises(SampleError, match="allow-incomplete"):
        run(workspace, design(items=15))
    plan = recorded_design(workspace.session, RUN)
    assert analyse(workspace.session, RUN, plan, allow_incomplete=True).complete == 13


def test_erased_outputs_are_counted_and_left_out(workspace: Workspace) -> None:
    add_dial(workspace.plugin_folder, control=1, noise=3)
    run(workspace, design(items=12))
    [first] = [g for g in workspace.session.cells(RUN) if tuple(g.cell or ()) == (2, 0, 0, 0)]
    workspace.session.erase(muniment.Query(ids=[first.id]))
    report = analyse(workspace.session, RUN, recorded_design(workspace.session, RUN))
    assert report.left_out == {"item-2": {"erased": 1}}


def test_fewer_than_ten_items_are_refused_before_anything_is_generated(
    workspace: Workspace,
) -> None:
    add_dial(workspace.plugin_folder)
    with pytest.raises(SampleError, match="9 items, and 10 are needed"):
        run(workspace, design(items=9))
    assert not (workspace.home / "muniment.db").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("{level: [0, 1000]}", "100"),
        ("{heat: [1, 2]}", "heat"),
        ("{levle: [1, 2]}", "did you mean level"),
        ("{level: [a, b]}", "level"),
    ],
)
def test_a_setting_that_the_generator_refuses_records_nothing(
    workspace: Workspace, settings: str, message: str
) -> None:
    add_dial(workspace.plugin_folder)
    with pytest.raises(muniment.UsageError, match=message):
        run(workspace, design(settings=settings))
    assert not (workspace.home / "muniment.db").exists()


@pytest.mark.parametrize(
    ("measure", "message"),
    [
        ("text-statistics.wrods", "did you mean text-statistics.words"),
        ("no-such-evaluator.words", "available: .*wording, ranking|embedding"),
        ("embedding", "dial cannot embed"),
    ],
)
def test_a_measure_that_does_not_exist_records_nothing(
    workspace: Workspace, measure: str, message: str
) -> None:
    add_dial(workspace.plugin_folder)
    with pytest.raises(muniment.UsageError, match=message):
        run(workspace, design(measures=[measure]))
    assert not (workspace.home / "muniment.db").exists()


@pytest.mark.parametrize(
    ("old", "new", "meant"),
    [
        ("replicates:", "replicats:", "replicates"),
        ("settings:", "setings:", "settings"),
        ("paraphrases:", "paraphrase:", "paraphrases"),
    ],
)
def test_an_unknown_key_of_a_design_names_the_similar_one(old: str, new: str, meant: str) -> None:
    document = design()
    assert old in document
    with pytest.raises(DesignFileError, match=rf"did you mean {meant}\?") as caught:
        parse_design(document.replace(old, new), "d.yaml")
    assert new.rstrip(":") in str(caught.value)


def test_a_stopped_experiment_is_continued(workspace: Workspace) -> None:
    add_dial(workspace.plugin_folder, control=1, noise=3)
    document = design()
    plan = parse_design(document, "d.yaml")
    seen: list[muniment.Generation] = []

    def stop(generation: muniment.Generation) -> None:
        seen.append(generation)
        if len(seen) == 50:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_experiment(workspace.session, plan, document, RUN, on_generation=stop)
    with pytest.raises(SampleError, match=f"--resume {RUN}"):
        analyse(workspace.session, RUN, plan)
    resume_experiment(workspace.session, plan, RUN)
    report = analyse(workspace.session, RUN, plan)
    assert report.complete == 10
    texts = [generation.text for generation in workspace.session.cells(RUN)]
    assert len(texts) == 120
    resume_experiment(workspace.session, plan, RUN)
    assert [generation.text for generation in workspace.session.cells(RUN)] == texts


def stop(generation: muniment.Generation) -> None:
    raise KeyboardInterrupt


def test_a_resumed_experiment_has_the_policy_that_it_was_started_with(
    workspace: Workspace,
) -> None:
    add_dial(workspace.plugin_folder, control=1, noise=3)
    document = design()
    plan = parse_design(document, "d.yaml")
    path = workspace.home / "team.yaml"
    path.write_text("policy: team\nversion: 1\nfilters: []\n", encoding="utf-8")
    with pytest.raises(KeyboardInterrupt):
        run_experiment(workspace.session, plan, document, RUN, policy=str(path), on_generation=stop)
    path.unlink()
    resume_experiment(workspace.session, plan, RUN)
    assert {generation.policy for generation in workspace.session.cells(RUN)} == {"team@1"}


def test_two_resumptions_at_once_generate_no_cell_twice(workspace: Workspace) -> None:
    add_dial(workspace.plugin_folder, control=1, noise=3)
    document = design()
    plan = parse_design(document, "d.yaml")
    with pytest.raises(KeyboardInterrupt):
        run_experiment(workspace.session, plan, document, RUN, on_generation=stop)
    started: list[muniment.Generation] = []

    def resume_too(generation: muniment.Generation) -> None:
        started.append(generation)
        if len(started) == 1:
            with muniment.open(workspace.home) as other:
                resume_experiment(other, plan, RUN)

    # The other resumption ends first, so that the next cells of this one are completed.
    with pytest.raises(muniment.StoreError, match="completed or in progress"):
        resume_experiment(workspace.session, plan, RUN, on_generation=resume_too)
    attempts = [
        generation.cell
        for generation in workspace.session.generations(muniment.Query(status="completed"))
    ]
    assert len(attempts) == len(set(attempts)) == 120


def test_a_change_of_the_policy_within_an_experiment_is_a_warning(workspace: Workspace) -> None:
    add_dial(workspace.plugin_folder, control=1, noise=3)
    document = design()
    plan = parse_design(document, "d.yaml")
    with pytest.raises(KeyboardInterrupt):
        run_experiment(workspace.session, plan, document, RUN, on_generation=stop)
    path = workspace.home / "team.yaml"
    path.write_text("policy: team\nversion: 1\nfilters: []\n", encoding="utf-8")
    resume_experiment(workspace.session, plan, RUN, policy=str(path))
    report = analyse(workspace.session, RUN, plan)
    assert any("several policies" in warning for warning in report.warnings)


def test_a_change_of_the_text_of_a_policy_within_an_experiment_is_a_warning(
    workspace: Workspace,
) -> None:
    add_dial(workspace.plugin_folder, control=1, noise=3)
    document = design()
    plan = parse_design(document, "d.yaml")
    texts = [f"policy: team\nversion: 1\nfilters: []\n{end}" for end in ("", "# changed\n")]
    path = workspace.home / "team.yaml"
    path.write_text(texts[0], encoding="utf-8")
    with pytest.raises(KeyboardInterrupt):
        run_experiment(workspace.session, plan, document, RUN, policy=str(path), on_generation=stop)
    path.write_text(texts[1], encoding="utf-8")
    resume_experiment(workspace.session, plan, RUN, policy=str(path))
    [warning] = [w for w in analyse(workspace.session, RUN, plan).warnings if "policies" in w]
    for text in texts:
        assert f"team@1 ({sha256(text.encode()).hexdigest()[:12]}…)" in warning


def test_a_ranking_of_texts_is_refused(workspace: Workspace) -> None:
    add_dial(workspace.plugin_folder, noise=3)
    with pytest.raises(AnalysisError, match="no lists"):
        run(workspace, design(measures=["ranking"]))


def test_a_run_that_is_no_experiment_is_refused(workspace: Workspace) -> None:
    add_dial(workspace.plugin_folder)
    [done] = workspace.run("#1", generator="dial")
    with pytest.raises(AnalysisError, match="no experiment"):
        recorded_design(workspace.session, done.run_id)


def test_missing_scores_name_the_command_that_adds_them(workspace: Workspace) -> None:
    add_dial(workspace.plugin_folder, noise=9)
    run(workspace, design())
    plan = recorded_design(workspace.session, RUN)
    with pytest.raises(AnalysisError, match="muniment evaluate --run"):
        analyse(workspace.session, RUN, plan, measures=["perplexity"])


def add_moody_evaluator(workspace: Workspace, fails: str) -> None:
    workspace.plugin_folder.add(
        "import muniment\n"
        "class Moody(muniment.Evaluator):\n"
        "    name = 'moody'\n"
        "    measures = (muniment.Measure('length'),)\n"
        "    def evaluate(self, generation):\n"
        f"        if {fails}:\n"
        "            raise RuntimeError('no')\n"
        "        return {'length': len(generation.text)}\n"
        "@muniment.hookimpl\n"
        "def muniment_evaluators(register):\n"
        "    register(Moody)\n",
        distribution="moody-plugin",
    )


def test_items_whose_evaluations_all_failed_are_refused_if_they_are_many(
    workspace: Workspace,
) -> None:
    add_dial(workspace.plugin_folder, control=1, noise=3)
    add_moody_evaluator(workspace, "generation.prompt.startswith(('题 3 ', '题 4 ', '题 5 '))")
    with pytest.raises(SampleError) as caught:
        run(workspace, design(items=12, measures=["moody.length"]))
    assert caught.value.complete == 9
    assert "'item-3'" in str(caught.value)


def test_an_item_whose_evaluations_all_failed_is_named(workspace: Workspace) -> None:
    add_dial(workspace.plugin_folder, control=1, noise=3)
    add_moody_evaluator(workspace, "generation.prompt.startswith('题 3 ')")
    report = run(workspace, design(items=12, measures=["moody.length"]))
    [result] = report.measures
    assert (result.items, result.left_out) == (11, ("item-3",))
    assert any("'item-3'" in warning for warning in report.warnings)
    assert [text for text in report.warnings if "wide" in text] == [
        "12 items give wide intervals; use 20 or more"
    ]


def test_a_measure_of_too_few_of_enough_items_has_a_warning_of_its_own(
    workspace: Workspace,
) -> None:
    add_dial(workspace.plugin_folder, control=1, noise=3)
    add_moody_evaluator(workspace, "generation.prompt.startswith('题 3 ')")
    report = run(workspace, design(items=20, measures=["moody.length"]))
    assert [text for text in report.warnings if "wide" in text] == [
        "moody.length: 19 items give wide intervals; use 20 or more"
    ]


def test_a_measure_that_too_few_items_have_is_omitted_and_the_others_are_kept(
    workspace: Workspace,
) -> None:
    add_dial(workspace.plugin_folder, control=1, noise=3)
    add_moody_evaluator(workspace, "generation.prompt.startswith(('题 3 ', '题 4 ', '题 5 '))")
    report = run(workspace, design(items=12, measures=["moody.length", "wording"]))
    assert [result.name for result in report.measures] == ["wording"]
    [omitted] = report.omitted
    assert (omitted.items, omitted.needed) == (9, 10)
    assert omitted.name == "moody.length"
    assert "9 of 12 items" in omitted.reason
    assert any(omitted.reason in warning for warning in report.warnings)
    assert to_json(report)["omitted"][0]["measure"] == "moody.length"
    assert omitted.name in report_page.html(report)
    plan = recorded_design(workspace.session, RUN)
    report = analyse(workspace.session, RUN, plan, measures=["wording", "perplexity"])
    assert [(one.name, one.items) for one in report.omitted] == [("perplexity", 0)]


def with_version_2(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, since: int, replicate: int = 0
) -> None:
    """Give the scores of items from a number on, and of replicates, another version."""
    cells = workspace.session.cells

    def changed(run: str) -> Iterator[muniment.Generation]:
        for generation in cells(run):
            assert generation.cell is not None
            if generation.cell.item >= since and generation.cell.replicate >= replicate:
                scores = tuple(replace(score, version="2") for score in generation.scores)
                generation = replace(generation, scores=scores)
            yield generation

    monkeypatch.setattr(workspace.session, "cells", changed)


def test_scores_of_two_versions_are_counted_and_not_mixed(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_dial(workspace.plugin_folder, control=1, noise=3)
    first = run(workspace, design(items=24, measures=["text-statistics.words", "wording"]))
    version = next(workspace.session.cells(RUN)).scores[0].version
    with_version_2(workspace, monkeypatch, since=12)
    plan = recorded_design(workspace.session, RUN)
    report = analyse(workspace.session, RUN, plan, allow_incomplete=True)
    names = [f"text-statistics.words of version {one}" for one in (version, "2")]
    assert [(one.name, one.items) for one in report.measures] == [
        (names[0], 12),
        (names[1], 12),
        ("wording", 24),
    ]
    outputs = plan.size // 2
    assert any(
        f"{version} ({outputs} outputs), 2 ({outputs} outputs)" in text for text in report.warnings
    )
    assert not any("versions" in warning for warning in first.warnings)
    refused = analyse(workspace.session, RUN, plan)
    assert [one.name for one in refused.measures] == ["wording"]
    assert [one.name for one in refused.omitted] == names


def test_an_item_of_two_versions_has_no_value(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_dial(workspace.plugin_folder, control=1, noise=3)
    run(workspace, design(items=24, measures=["text-statistics.words"]))
    with_version_2(workspace, monkeypatch, since=23, replicate=1)
    report = analyse(workspace.session, RUN, recorded_design(workspace.session, RUN))
    [result] = report.measures
    assert (result.items, result.left_out) == (23, ("item-23",))
    assert [(one.items, one.needed) for one in report.omitted] == [(0, 10)]


def test_replays_are_counted_with_a_bound(workspace: Workspace) -> None:
    add_dial(workspace.plugin_folder, noise=9)
    report = run(workspace, design(), replays=8)
    assert report.replay is not None
    assert report.replay.counts == {"exact": 8}
    assert report.replay.same is not None
    assert report.replay.same.low == pytest.approx(0.025 ** (1 / 8))


def test_markup_in_a_prompt_does_not_run_and_a_formula_is_a_text(workspace: Workspace) -> None:
    add_dial(workspace.plugin_folder, noise=9)
    document = design().replace("题 0", "<script>alert(1)</script>").replace("item-1,", "'=1+1',")
    report = run(workspace, document)
    page = report_page.html(report)
    assert "<script" not in page
    assert "http" not in page.replace("http://www.w3.org", "").replace("http-equiv", "").replace(
        "http://purl.org", ""
    ).replace("http://creativecommons.org", "").replace("https://matplotlib.org", "")
    rows = report_page.csv(report).splitlines()
    assert rows[0].endswith("measure,statistic,name,value,low,high,n")
    assert all(not cell.startswith("=") for row in rows for cell in row.split(","))


def test_the_report_is_json_with_intervals(workspace: Workspace) -> None:
    add_dial(workspace.plugin_folder, control=1, noise=5)
    body = json.loads(json.dumps(to_json(run(workspace, design()))))
    [measure] = body["measures"]
    assert measure["controllability"].keys() == {"value", "low", "high", "n"}
    assert measure["seed_variance"][1]["setting"] == {"level": 10}
    assert body["sample"]["complete"] == 10
    assert len(body["worst"]) == 5
    assert len(body["worst"][0]["generations"]) == 12


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ("", "is empty"),
        ("- a", "is not a mapping"),
        (design().replace("version: 1", "version: 2"), "version"),
        (design(extra="colour: red"), "colour"),
        (design().replace("item-1,", "item-0,"), "repeated item ids, such as 'item-0'"),
        (design().replace("item-1,", "7,"), "between quotes"),
        (design(replicates=1), "at least 2"),
        (design(settings="{level: [1, 1.0]}"), "a value twice"),
        (design(settings="{level: [1, '1']}"), "a value twice"),
        (design(settings=f"{{level: [1, {'9' * 400}.5]}}"), "too large"),
        (design(settings=f"{{level: [1, {'9' * 400}]}}"), "too large"),
        (design(settings="{paraphrase: [1, 2]}"), "'paraphrase'"),
        (design(settings="{seed: [1, 2]}"), "'seed'"),
        (design(settings="{'a:b': [1, 2], a: [1, 2], b: [1, 2]}", paraphrases=1), "a:b"),
        (design(settings="{level: []}"), "settings"),
        (design(settings="{level: [1]}", paraphrases=1), "nothing to compare"),
        (design(settings="{a: [1, 2], b: [1, 2], c: [1, 2]}"), "at most 3"),
        (design(measures=["wording.x"]), "wording"),
        (design(measures=["{measure: wording, requested: level}"]), "EVALUATOR.MEASURE"),
        (
            design(measures=["{measure: text-statistics.words, requested: heat}"]),
            "'heat'",
        ),
        (design().replace('"题 0 #1", ', ""), "equal numbers"),
        (design().replace('"题 0 #1"', '"题 0 #0"'), "twice"),
        (design().replace("seed: 7", "seed: -1"), "seed"),
        (design().replace("#0", "#0 {level}"), "in all prompts or in none"),
    ],
)
def test_a_design_without_a_meaning_is_refused(document: str, problem: str) -> None:
    with pytest.raises(DesignFileError, match=problem) as caught:
        parse_design(document, "d.yaml")
    assert caught.value.source == "d.yaml"
    assert "\n" not in str(caught.value)
