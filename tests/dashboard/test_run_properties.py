import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from dashboard.analysis import paper_comparison, recommendation, run_properties, training_progress
from dashboard.app_pages.augmentation import sections as augmentation_sections
from dashboard.state import run_cache
from dashboard.tables import run_tables
from fercore.config.loading import load_config
from fercore.config.run import CombinedConfig, RunConfig
from fercore.config.training import ProgressiveResizingConfig
from fercore.data.registry import load_dataset
from fercore.data.splits import UNSPLIT
from fercore.runs.listing import list_runs
from fercore.runs.reader import Run, read_run
from fercore.runs.schema import EpochLog
from tests.dashboard import make_runs


def test_dropped_classes_have_two_figures(runs: dict[str, Run]):
    run = runs["katkar2021-model1-original"]
    assert run_properties.dropped_classes(run) == ("disgust",)
    assert "disgust" not in run_properties.scored_classes(run)
    assert run_properties.result_of(run, "test").n == 3534
    assert run_properties.all_classes_result(run).n == 3589
    assert run_properties.honest_result(run) is None


def test_all_classes_have_one(runs: dict[str, Run]):
    run = runs["le2019-deep"]
    assert run_properties.all_classes_result(run) is run_properties.result_of(run, "test")
    assert run_properties.honest_result(run) is run_properties.result_of(run, "test_unique")
    assert len(run_properties.scored_classes(run)) == 7


def test_worst_class_has_samples(runs: dict[str, Run]):
    result = run_properties.result_of(runs["katkar2021-model1-original"], "test")
    worst = run_properties.worst_class(result)
    assert worst.name != "disgust"
    assert worst.recall == min(c.recall for c in result.classes if c.recall is not None)
    assert run_properties.worst_class(None) is None


def test_labels_are_unique(runs: dict[str, Run]):
    one = runs["le2019-deep"]
    again = replace(one, path=one.path.with_name("again"))
    assert run_properties.labels([one]) == {one.id: "le2019-deep · s1"}
    assert run_properties.labels([one, again]) == {one.id: one.id, "again": "again"}


def test_a_run_that_was_ended_early_is_no_seed_of_its_experiment(runs: dict[str, Run]):
    one = runs["katkar2021-model1-original"]
    other = replace(
        one,
        path=one.path.with_name("other"),
        config=one.experiment.model_copy(update={"seed": 7}),
    )
    assert run_properties.group_by_experiment([one, other]) == [[one, other]]
    early = replace(other, results=one.results.model_copy(update={"stopped_by": "interrupt"}))
    assert run_properties.group_by_experiment([one, early]) == [[one], [early]]


def test_a_seed_that_is_trained_again_is_no_further_seed(runs: dict[str, Run]):
    one = runs["katkar2021-model1-original"]

    def another(name, finished, seed=0, config=None, **known):
        results = one.results.model_copy(update={"finished": finished})
        environment = one.environment.model_copy(update=known)
        fields = load_config(one.path / "config.json", {"seed": seed} | (config or {}))
        path = one.path.with_name(name)
        return replace(one, path=path, config=fields, results=results, environment=environment)

    first = another("first", "2026-01-01T00:00:00+00:00")
    again = another("again", "2026-01-02T00:00:00+00:00")
    other = another("other", "2026-01-01T12:00:00+00:00", seed=1)
    assert run_properties.group_by_experiment([first, again, other]) == [[again, other], [first]]
    assert run_properties.group_by_experiment([first, again]) == [[again], [first]]
    # The official division has no folds and no seed: these are the same training, too.
    same = another("same", "2026-01-03T00:00:00+00:00", config={"protocol.split_seed": 4})
    assert run_properties.group_by_experiment([again, same, other]) == [[same, other], [again]]
    # Figures on other images have no mean in common.
    late = "2026-01-04T00:00:00+00:00"
    for known in (
        {"dataset_fingerprint": "0123456789abcdef"},
        {"source_fingerprint": "0123456789abcdef"},
        {"excluded_sha256": "0" * 64},
    ):
        changed = another("changed", late, seed=2, **known)
        assert run_properties.group_by_experiment([again, other, changed]) == [
            [again, other],
            [changed],
        ]


def test_splits_carry_the_names_of_their_dataset(runs: dict[str, Run]):
    real, synthetic = runs["le2019-deep"], runs["synthetic-quick"]
    assert run_properties.split_titles([real]) == {
        "test": "PrivateTest",
        "test_unique": "PrivateTest (deduplicated)",
        "validation": "PublicTest",
    }
    assert run_properties.split_titles([real, synthetic])["test"] == "Test"
    assert run_properties.split_titles([]) == {}


def test_a_split_that_is_evaluated_twice_is_listed_once(runs: dict[str, Run]):
    """A run that was tested on the validation split, alone and beside one that was not."""
    real = runs["le2019-deep"]
    splits = real.results.splits
    twice = splits | {"test": splits["validation"]}
    trial = replace(real, results=real.results.model_copy(update={"splits": twice}))
    assert run_properties.split_titles([trial]) == {
        "test": "PublicTest",
        "test_unique": "PrivateTest (deduplicated)",
    }
    assert list(run_tables.splits_table(trial)["Split"]) == list(
        run_properties.split_titles([trial]).values()
    )
    mixed = run_properties.split_titles([trial, real])
    assert (mixed["test"], mixed["validation"]) == ("Test", "PublicTest")
    # Other images under the same name stay apart.
    renamed = splits["validation"].model_copy(update={"title": splits["test"].title})
    results = real.results.model_copy(update={"splits": splits | {"validation": renamed}})
    titles = run_properties.split_titles([replace(real, results=results)])
    assert len(set(titles.values())) == len(titles) == 3


def test_against_paper(runs: dict[str, Run]):
    found = paper_comparison.compare_with_paper(runs["le2019-deep"])
    assert found.published == pytest.approx(0.663)
    assert found.difference == pytest.approx(found.ours.accuracy - 0.663)
    assert found.inside == (found.ours.accuracy_low <= 0.663 <= found.ours.accuracy_high)
    assert paper_comparison.compare_with_paper(runs["le2019-shallow"]) is None
    assert (found.paper_n, found.interval) == (None, None)
    said = paper_comparison.explain_comparison(runs["le2019-deep"], found)
    assert "interval of ours" in said
    assert "ignores the sampling error of the paper's accuracy" in said


@pytest.mark.parametrize(
    ("low", "high", "inside"),
    [(66.3, 70, True), (60, 66.3, True), (60, 70, True), (66.4, 70, False), (60, 66.2, False)],
)
def test_a_printed_figure_at_an_end_of_our_interval_lies_in_it(
    runs: dict[str, Run], low: float, high: float, inside: bool
):
    run = runs["le2019-deep"]
    test = run.results.splits["test"].model_copy(
        update={"accuracy_low": low / 100, "accuracy_high": high / 100}
    )
    results = run.results.model_copy(update={"splits": run.results.splits | {"test": test}})
    assert run.config.published.test_accuracy == 66.3
    assert paper_comparison.compare_with_paper(replace(run, results=results)).inside is inside


@pytest.mark.parametrize(("age", "silent"), [(10.0, 10.0), (-3600.0, 0.0)])
def test_a_run_whose_clock_is_ahead_was_heard_of_just_now(
    runs: dict[str, Run], age: float, silent: float, monkeypatch: pytest.MonkeyPatch
):
    run = runs["khopkar2021"]
    now = run.status.heartbeat + age
    monkeypatch.setattr(time, "time", lambda: now)
    assert training_progress.seconds_since_heartbeat(run) == pytest.approx(silent)
    never = run.status.model_copy(update={"heartbeat": 0.0})
    assert training_progress.seconds_since_heartbeat(replace(run, status=never)) is None


def test_against_the_figure_of_another_test_set():
    root = Path(__file__).parents[2] / "runs"
    run = read_run(root / "katkar2021-model2-original-s0-20261121T024609")
    found = paper_comparison.compare_with_paper(run)
    low, high = found.interval
    assert found.paper_n == 3533
    assert low < found.difference < high
    ours = found.ours
    assert high - low > 1.3 * (ours.accuracy_high - ours.accuracy_low)
    said = paper_comparison.explain_comparison(run, found)
    assert "another test set (n = 3,533)" in said
    assert "interval of the difference" in said


def test_time_left_of_a_running_run(runs: dict[str, Run]):
    run = runs["khopkar2021"]
    log = run_cache.log(run)
    each = log[-1].seconds + log[-1].val_seconds
    # 28 epochs to go, of which 210 of 449 steps are done.
    assert training_progress.seconds_left(run, log) == pytest.approx(
        (28 - 210 / 449) * each, rel=0.1
    )
    assert training_progress.progress(run) == pytest.approx((12 + 210 / 449) / 40)
    # 8 epochs of small images are to come; the 20 after them take 2.25 times as long.
    resizing = ProgressiveResizingConfig(size=32, fraction=0.5)
    growing = replace(
        run, config=run.experiment.model_copy(update={"progressive_resizing": resizing})
    )
    costs = 7 + (1 - 210 / 449) + 20 * 2.25
    assert training_progress.seconds_left(growing, log) == pytest.approx(costs * each, rel=0.1)
    assert training_progress.seconds_left(runs["le2019-deep"], log) is None
    assert training_progress.seconds_left(run, []) is None


def test_the_time_left_is_counted_by_the_last_five_epochs_and_the_step_that_is_reached(
    runs: dict[str, Run],
):
    run = next(run for run in runs.values() if run.state == "running")
    row = run.log()[0].model_dump()

    def left(seconds, epoch, epochs, step=0, steps=0):
        log = [
            EpochLog(**row | {"epoch": number, "seconds": time, "val_seconds": 2.0})
            for number, time in enumerate(seconds, start=1)
        ]
        changes = {"epoch": epoch, "epochs": epochs, "step": step, "steps": steps}
        status = run.status.model_copy(update=changes)
        return training_progress.seconds_left(replace(run, status=status), log)

    # The first two epochs were slow; the median of the other five is 10 seconds and 2 more.
    slow_first = [90, 80, 8, 9, 10, 11, 50]
    assert left(slow_first, 7, 10) == pytest.approx(3 * 12)
    assert left(slow_first, 7, 10, step=30, steps=120) == pytest.approx(2.75 * 12)
    assert left([10], 1, 10, step=1, steps=4) == pytest.approx(8.75 * 12)
    assert left(slow_first, 7, 7) == 0
    assert left(slow_first, 7, 8, step=4, steps=4) == 0


@pytest.mark.parametrize("shape", [[], [0, 48, 1], [0]])
def test_the_time_left_needs_no_image_size_in_the_layer_table(
    runs: dict[str, Run], shape: list[int]
):
    run = runs["khopkar2021"]
    expected = training_progress.seconds_left(run, run_cache.log(run))
    layers = [layer.model_dump() for layer in run.layers()]
    layers[0]["output_shape"] = shape
    (run.path / "layers.json").write_text(json.dumps(layers))
    changed = read_run(run.path)
    assert changed.layers()[0].output_shape == shape
    assert training_progress.seconds_left(changed, run_cache.log(changed)) == pytest.approx(
        expected
    )


def test_resume_command_for_what_stopped(runs: dict[str, Run]):
    for name in ("stalled-run", "stopped-run", "failed-run"):
        assert (
            training_progress.resume_command(runs[name])
            == f"fercore train --resume {runs[name].id}"
        )
    assert training_progress.resume_command(runs["le2019-deep"]) is None
    assert training_progress.resume_command(runs["holiday-pictures"]) is None


def test_a_run_without_its_checkpoint_is_not_to_be_resumed(made: Path):
    (stalled,) = [run for run in list_runs(made) if run.id.startswith("stalled-run")]
    assert training_progress.resume_command(replace(stalled, path=made / "copied")) is None


def test_what_was_judged_early_can_go_on(runs: dict[str, Run]):
    run = runs["le2019-deep"]
    (run.path / "checkpoints").mkdir(exist_ok=True)
    run.last_path.write_bytes(b"")
    assert training_progress.resume_command(run) is None

    def stopped(by, epochs=60):
        results = run.results.model_copy(update={"stopped_by": by})
        config = run.experiment.model_copy(update={"epochs": epochs})
        return replace(run, results=results, config=config)

    assert training_progress.resume_command(stopped("interrupt"))
    # A resumption for more epochs that died beside the results that it had.
    assert training_progress.resume_command(stopped("epochs", epochs=80))
    assert training_progress.resume_command(stopped("early stopping", epochs=80)) is None
    assert training_progress.resume_command(replace(stopped("interrupt"), state="diverged")) is None
    assert training_progress.resume_command(replace(stopped("interrupt"), state="running")) is None


def test_a_mean_with_an_imported_network_is_not_honest(runs: dict[str, Run]):
    own = runs["le2019-deep"].config
    shared = own.model_dump(include=set(RunConfig.model_fields))

    def mean(imported):
        combined = {"members": ["a"], "tta": "flip", "imported": imported}
        config = CombinedConfig.model_validate(shared | {"combined": combined})
        return replace(runs["le2019-deep"], config=config)

    assert run_properties.is_honest(mean(imported=False))
    assert not run_properties.is_honest(mean(imported=True))
    assert run_properties.honest_result(mean(imported=True)) is None
    # Nobody says that it was trained on what is tested.
    assert not run_properties.leaks(mean(imported=True))
    assert run_properties.cautions(mean(imported=True)) == [
        "The training data of an imported network is unknown."
    ]
    protocol = own.protocol.model_copy(update={"leak_free": False})
    leaky = replace(runs["le2019-deep"], config=own.model_copy(update={"protocol": protocol}))
    assert run_properties.cautions(leaky) == [run_properties.LEAKS]


def test_the_best_run_is_honest_and_of_the_dataset_that_most_are_of(made: Path):
    runs = [run for run in list_runs(made) if run.results and not run_properties.is_synthetic(run)]
    found = recommendation.best(runs)
    assert found is not None
    judged = [
        run_properties.result_of(run, "validation").accuracy
        for run in runs
        if run_properties.honest_result(run)
    ]
    assert found.validation.accuracy == max(judged)
    assert found.test is run_properties.honest_result(found.run)

    def as_if(run, **changes):
        config = load_config(run.path / "config.json", changes)
        return replace(run, config=config)

    leaky = as_if(found[0], **{"protocol.leak_free": False})
    assert run_properties.honest_result(leaky) is None
    # Ten folds of one experiment are one experiment.
    folds = [as_if(found[0], dataset="ckplus")] * 10
    others = [as_if(run, name=f"other-{n}") for n, run in enumerate(runs)]
    assert recommendation.best([*folds, *others])[0].config.dataset == "fer2013"
    assert recommendation.best([leaky]) is None
    assert recommendation.recommended_run([leaky]) is None


def test_a_network_is_chosen_on_the_validation_split(made: Path):
    runs = [run for run in list_runs(made) if run.results and not run_properties.is_synthetic(run)]
    best, *_ = recommendation.best(runs)
    assert recommendation.recommended_run([best]) is best
    splits = dict(best.results.splits)
    easier = splits["validation"].model_copy(update={"accuracy": 0.99})
    worse = splits["test_unique"].model_copy(update={"accuracy": 0.01})
    results = best.results.model_copy(
        update={"splits": splits | {"validation": easier, "test_unique": worse}}
    )
    lucky = replace(best, results=results)
    assert recommendation.recommended_run([best, lucky]) is lucky
    # So is the best run, whose test figure is stated: not the maximum of the test figures.
    found = recommendation.best([best, lucky])
    assert (found.run, found.test.accuracy) == (lucky, 0.01)
    # Without a validation figure there is nothing to choose by.
    unvalidated = results.model_copy(
        update={"splits": {k: v for k, v in results.splits.items() if k != "validation"}}
    )
    assert recommendation.best([replace(best, results=unvalidated)]) is None


def test_runs_on_other_images_are_not_ranked_with_each_other(made: Path):
    runs = [run for run in list_runs(made) if run.results and not run_properties.is_synthetic(run)]
    run, *_ = recommendation.best(runs)
    splits = run.results.splits
    easier = splits["validation"].model_copy(update={"accuracy": 0.99})
    results = run.results.model_copy(update={"splits": splits | {"validation": easier}})

    def another(changes, **known):
        config = load_config(run.path / "config.json", changes)
        environment = run.environment.model_copy(update=known)
        return replace(run, config=config, results=results, environment=environment)

    for other in (
        another({"protocol.split": "random"}),
        another({"protocol.split": "subjects", "protocol.fold": 1}),
        another({}, dataset_fingerprint="0123456789abcdef"),
    ):
        assert recommendation.best([run, other]).run is run
    # What is left out of training changes no image that is judged.
    cleaned = another({"protocol.leave_out": ["conflicts"]})
    assert recommendation.best([run, cleaned]).run is cleaned


def test_of_networks_as_good_as_the_best_the_smallest_is_chosen(made: Path):
    runs = [run for run in list_runs(made) if run.results and not run_properties.is_synthetic(run)]
    run, *_ = recommendation.best(runs)

    def as_if(accuracy: float, parameters: int | None):
        judged = run.results.splits["validation"].model_copy(
            update={"accuracy": accuracy, "n": 2500}
        )
        splits = run.results.splits | {"validation": judged}
        results = run.results.model_copy(update={"splits": splits, "parameters": parameters})
        return replace(run, results=results)

    # One standard error of 0.5 among 2,500 is 0.01.
    best, near, far = as_if(0.5, 1000), as_if(0.4901, 100), as_if(0.4899, 10)
    nearer, unknown = as_if(0.495, 100), as_if(0.5, None)
    assert recommendation.recommended_run([best, near, far]) is near
    assert recommendation.recommended_run([best, near, nearer]) is nearer
    assert recommendation.recommended_run([unknown, best]) is best
    assert recommendation.recommended_run([unknown, far]) is unknown


def test_folds_have_labels_of_their_own(made: Path):
    run = next(run for run in list_runs(made) if run.config)
    changes = {"protocol.split": "subjects", "protocol.folds": 5, "protocol.fold": 3}
    fold = replace(run, config=load_config(run.path / "config.json", changes))
    assert run_properties.labels([fold])[run.id].endswith("· fold 4")


def test_the_protocol_of_a_run_names_its_fold_if_asked(made: Path):
    run = next(run for run in list_runs(made) if run.config)
    changes = {"protocol.split": "subjects", "protocol.folds": 5, "protocol.fold": 3}
    fold = replace(run, config=load_config(run.path / "config.json", changes))
    assert run_properties.protocol_words(fold) == "5 folds by subject"
    assert run_properties.protocol_words(fold, fold=True) == "fold 4 of 5 by subject"


def test_the_size_of_a_class_names_its_groups_if_its_images_are_dependent(runs: dict[str, Run]):
    run = runs["le2019-deep"]
    result = run_properties.result_of(run, "test")
    entry = result.classes[0]
    assert run_properties.class_size(run, result, entry) == f"n = {entry.support:,}"
    grouped = result.model_copy(update={"group_kind": "subject"})
    of_groups = entry.model_copy(update={"groups": 24})
    expected = f"n = {entry.support:,}, by subject, 24 groups"
    assert run_properties.class_size(run, grouped, of_groups) == expected


def test_a_test_on_a_training_fold_is_no_figure_of_the_dataset(made: Path):
    runs = [run for run in list_runs(made) if run.results and not run_properties.is_synthetic(run)]
    run, *_ = recommendation.best(runs)
    changes = {"protocol.test": "train_fold", "protocol.fold": 1, "keep": "last"}
    changes |= {"schedule.kind": "constant", "early_stopping.patience": 0}
    fold = replace(run, config=load_config(run.path / "config.json", changes))
    assert recommendation.best([fold]) is None
    assert recommendation.recommended_run([fold]) is None
    assert run_properties.labels([fold])[run.id].endswith("· fold 2")
    assert run_properties.protocol_words(fold) == "official, evaluated on each fold of training"
    assert (
        run_properties.protocol_words(fold, fold=True)
        == "official, evaluated on fold 2 of 5 of training"
    )


def test_what_a_training_loss_holds_is_named(made: Path):
    run = next(run for run in list_runs(made) if run.config and not run.config.label_smoothing)

    def as_if(**changes):
        return replace(run, config=load_config(run.path / "config.json", changes))

    assert run_properties.extra_loss_terms([run]) == []
    mixed = as_if(**{"augmentation.cutmix": 1.0})
    taught = as_if(
        **{"label_smoothing": 0.1, "distillation.teachers": ["le2019-deep"]}
        | {"distillation.weight": 0.5}
    )
    assert run_properties.extra_loss_terms([run, mixed]) == ["mixed images"]
    assert run_properties.extra_loss_terms([mixed, taught]) == [
        "label smoothing",
        "mixed images",
        "distillation targets",
    ]


def test_strengths_are_tried_on_faces_that_the_run_was_not_trained_on(
    root: Path, runs: dict[str, Run], tmp_path: Path
):
    make_runs.faces(tmp_path / "data", root)
    splits, run = load_dataset("fer2013", tmp_path / "data"), runs["le2019-deep"]
    part, whose = augmentation_sections.unseen_faces(splits, run)
    assert (whose, part) == ("PublicTest", splits["validation"])
    # What its protocol divides, official parts or a dataset without any: its own test alone.
    protocol = run.config.protocol.model_copy(update={"split": "random"})
    divided = replace(run, config=run.config.model_copy(update={"protocol": protocol}))
    whole = splits["train"].joined(splits["validation"]).joined(splits["test"])
    for found in (splits, replace(splits, parts={UNSPLIT: whole})):
        part, whose = augmentation_sections.unseen_faces(found, divided)
        assert set(part.ids) == set(run.predictions("test").ids)
    (run.path / "predictions.npz").unlink()
    assert augmentation_sections.unseen_faces(splits, divided) is None
