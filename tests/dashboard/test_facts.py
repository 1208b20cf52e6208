from dataclasses import replace
from pathlib import Path

import pytest

from dashboard import augmenting, cached, facts
from fercore.config import (
    CombinedConfig,
    ProgressiveResizingConfig,
    RunConfig,
    load_config,
)
from fercore.data import load
from fercore.data.splits import POOL
from fercore.runs import Run, list_runs, read_run
from tests.dashboard import make_runs


def test_dropped_classes_have_two_figures(runs: dict[str, Run]):
    run = runs["katkar2021-model1-original"]
    assert facts.dropped_classes(run) == ("disgust",)
    assert "disgust" not in facts.scored_classes(run)
    assert facts.result_of(run, "test").n == 3534
    assert facts.all_classes_result(run).n == 3589
    assert facts.honest_result(run) is None


def test_all_classes_have_one(runs: dict[str, Run]):
    run = runs["le2019-deep"]
    assert facts.all_classes_result(run) is facts.result_of(run, "test")
    assert facts.honest_result(run) is facts.result_of(run, "test_unique")
    assert len(facts.scored_classes(run)) == 7


def test_worst_class_has_samples(runs: dict[str, Run]):
    result = facts.result_of(runs["katkar2021-model1-original"], "test")
    worst = facts.worst_class(result)
    assert worst.name != "disgust"
    assert worst.recall == min(c.recall for c in result.classes if c.recall is not None)
    assert facts.worst_class(None) is None


def test_labels_are_unique(runs: dict[str, Run]):
    one = runs["le2019-deep"]
    again = replace(one, path=one.path.with_name("again"))
    assert facts.labels([one]) == {one.id: "le2019-deep · s1"}
    assert facts.labels([one, again]) == {one.id: one.id, "again": "again"}


def test_a_run_that_was_ended_early_is_no_seed_of_its_experiment(runs: dict[str, Run]):
    one = runs["katkar2021-model1-original"]
    other = replace(
        one,
        path=one.path.with_name("other"),
        config=one.experiment.model_copy(update={"seed": 7}),
    )
    assert facts.by_recipe([one, other]) == [[one, other]]
    early = replace(other, results=one.results.model_copy(update={"stopped_by": "interrupt"}))
    assert facts.by_recipe([one, early]) == [[one], [early]]


def test_splits_carry_the_names_of_their_dataset(runs: dict[str, Run]):
    real, synthetic = runs["le2019-deep"], runs["synthetic-quick"]
    assert facts.split_titles([real]) == {
        "test": "PrivateTest",
        "test_unique": "PrivateTest without repeats",
        "validation": "PublicTest",
    }
    assert facts.split_titles([real, synthetic])["test"] == "Test"
    assert facts.split_titles([]) == {}


def test_against_paper(runs: dict[str, Run]):
    found = facts.against_paper(runs["le2019-deep"])
    assert found.published == pytest.approx(0.663)
    assert found.difference == pytest.approx(found.ours.accuracy - 0.663)
    assert found.inside == (found.ours.accuracy_low <= 0.663 <= found.ours.accuracy_high)
    assert facts.against_paper(runs["le2019-shallow"]) is None
    assert (found.paper_n, found.interval) == (None, None)
    said = facts.paper_words(runs["le2019-deep"], found)
    assert "interval of our figure" in said
    assert "does not contain the error of the printed figure" in said


def test_against_the_figure_of_another_test_set():
    root = Path(__file__).parents[2] / "runs"
    run = read_run(root / "katkar2021-model2-original-s0-20261121T024609")
    found = facts.against_paper(run)
    low, high = found.interval
    assert found.paper_n == 3533
    assert low < found.difference < high
    ours = found.ours
    assert high - low > 1.3 * (ours.accuracy_high - ours.accuracy_low)
    said = facts.paper_words(run, found)
    assert "another one (n = 3,533)" in said
    assert "interval of the difference" in said


def test_time_left_of_a_running_run(runs: dict[str, Run]):
    run = runs["khopkar2021"]
    log = cached.log(run)
    each = log[-1].seconds + log[-1].val_seconds
    # 28 epochs to go, of which 210 of 449 steps are done.
    assert facts.seconds_left(run, log) == pytest.approx((28 - 210 / 449) * each, rel=0.1)
    assert facts.progress(run) == pytest.approx((12 + 210 / 449) / 40)
    # 8 epochs of small images are to come; the 20 after them take 2.25 times as long.
    resizing = ProgressiveResizingConfig(size=32, fraction=0.5)
    growing = replace(
        run, config=run.experiment.model_copy(update={"progressive_resizing": resizing})
    )
    costs = 7 + (1 - 210 / 449) + 20 * 2.25
    assert facts.seconds_left(growing, log) == pytest.approx(costs * each, rel=0.1)
    assert facts.seconds_left(runs["le2019-deep"], log) is None
    assert facts.seconds_left(run, []) is None


def test_resume_command_for_what_stopped(runs: dict[str, Run]):
    for name in ("stalled-run", "stopped-run", "failed-run"):
        assert facts.resume_command(runs[name]) == f"fercore train --resume {runs[name].id}"
    assert facts.resume_command(runs["le2019-deep"]) is None
    assert facts.resume_command(runs["holiday-pictures"]) is None


def test_a_run_without_its_checkpoint_is_not_to_be_resumed(made: Path):
    (stalled,) = [run for run in list_runs(made) if run.id.startswith("stalled-run")]
    assert facts.resume_command(replace(stalled, path=made / "copied")) is None


def test_what_was_judged_early_can_go_on(runs: dict[str, Run]):
    run = runs["le2019-deep"]
    (run.path / "checkpoints").mkdir(exist_ok=True)
    run.last_path.write_bytes(b"")
    assert facts.resume_command(run) is None

    def stopped(by, epochs=60):
        results = run.results.model_copy(update={"stopped_by": by})
        config = run.experiment.model_copy(update={"epochs": epochs})
        return replace(run, results=results, config=config)

    assert facts.resume_command(stopped("interrupt"))
    # A resumption for more epochs that died beside the results that it had.
    assert facts.resume_command(stopped("epochs", epochs=80))
    assert facts.resume_command(stopped("early stopping", epochs=80)) is None
    assert facts.resume_command(stopped("not a number")) is None
    assert facts.resume_command(replace(stopped("interrupt"), state="running")) is None


def test_a_mean_with_an_imported_network_is_not_honest(runs: dict[str, Run]):
    own = runs["le2019-deep"].config
    shared = own.model_dump(include=set(RunConfig.model_fields))

    def mean(imported):
        combined = {"members": ["a"], "views": "flip", "imported": imported}
        config = CombinedConfig.model_validate(shared | {"combined": combined})
        return replace(runs["le2019-deep"], config=config)

    assert facts.is_honest(mean(imported=False))
    assert not facts.is_honest(mean(imported=True))
    assert facts.honest_result(mean(imported=True)) is None
    # Nobody says that it was trained on what is tested.
    assert not facts.leaks(mean(imported=True))
    assert facts.cautions(mean(imported=True)) == [
        "What an imported network was trained on is not known."
    ]
    protocol = own.protocol.model_copy(update={"honest": False})
    leaky = replace(runs["le2019-deep"], config=own.model_copy(update={"protocol": protocol}))
    assert facts.cautions(leaky) == [facts.LEAKS]


def test_the_best_run_is_honest_and_of_the_dataset_that_most_are_of(made: Path):
    runs = [run for run in list_runs(made) if run.results and not facts.is_synthetic(run)]
    found = facts.best(runs)
    assert found is not None
    judged = [result.accuracy for run in runs if (result := facts.honest_result(run))]
    assert found[1].accuracy == max(judged)

    def as_if(run, **changes):
        config = load_config(run.path / "config.json", changes)
        return replace(run, config=config)

    leaky = as_if(found[0], **{"protocol.honest": False})
    assert facts.honest_result(leaky) is None
    # Ten folds of one experiment are one experiment.
    folds = [as_if(found[0], dataset="ckplus")] * 10
    others = [as_if(run, name=f"other-{n}") for n, run in enumerate(runs)]
    assert facts.best([*folds, *others])[0].config.dataset == "fer2013"
    assert facts.best([leaky]) is None
    assert facts.chosen([leaky]) is None


def test_a_network_is_chosen_on_the_validation_split(made: Path):
    runs = [run for run in list_runs(made) if run.results and not facts.is_synthetic(run)]
    best, _ = facts.best(runs)
    assert facts.chosen([best]) is best
    splits = dict(best.results.splits)
    easier = splits["validation"].model_copy(update={"accuracy": 0.99})
    worse = splits["test_unique"].model_copy(update={"accuracy": 0.01})
    results = best.results.model_copy(
        update={"splits": splits | {"validation": easier, "test_unique": worse}}
    )
    lucky = replace(best, results=results)
    assert facts.best([best, lucky])[0] is best
    assert facts.chosen([best, lucky]) is lucky


def test_of_networks_as_good_as_the_best_the_smallest_is_chosen(made: Path):
    runs = [run for run in list_runs(made) if run.results and not facts.is_synthetic(run)]
    run, _ = facts.best(runs)

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
    assert facts.chosen([best, near, far]) is near
    assert facts.chosen([best, near, nearer]) is nearer
    assert facts.chosen([unknown, best]) is best
    assert facts.chosen([unknown, far]) is unknown


def test_folds_have_labels_of_their_own(made: Path):
    run = next(run for run in list_runs(made) if run.config)
    changes = {"protocol.split": "subjects", "protocol.folds": 5, "protocol.fold": 3}
    fold = replace(run, config=load_config(run.path / "config.json", changes))
    assert facts.labels([fold])[run.id].endswith("· fold 4")


def test_a_test_on_a_training_fold_is_no_figure_of_the_dataset(made: Path):
    runs = [run for run in list_runs(made) if run.results and not facts.is_synthetic(run)]
    run, _ = facts.best(runs)
    changes = {"protocol.test": "train_fold", "protocol.fold": 1, "keep": "last"}
    changes |= {"schedule.kind": "constant", "early_stopping.patience": 0}
    fold = replace(run, config=load_config(run.path / "config.json", changes))
    assert facts.best([fold]) is None
    assert facts.chosen([fold]) is None
    assert facts.labels([fold])[run.id].endswith("· fold 2")
    assert facts.protocol_words(fold) == "official, tested on each fold of training"
    assert facts.protocol_words(fold, fold=True) == "official, tested on fold 2 of 5 of training"


def test_what_a_training_loss_holds_is_named(made: Path):
    run = next(run for run in list_runs(made) if run.config and not run.config.label_smoothing)

    def as_if(**changes):
        return replace(run, config=load_config(run.path / "config.json", changes))

    assert facts.loss_adds([run]) == []
    mixed = as_if(**{"augmentation.cutmix": 1.0})
    taught = as_if(
        **{"label_smoothing": 0.1, "distillation.teachers": ["le2019-deep"]}
        | {"distillation.weight": 0.5}
    )
    assert facts.loss_adds([run, mixed]) == ["mixed images"]
    assert facts.loss_adds([mixed, taught]) == [
        "smoothed labels",
        "mixed images",
        "the answers of teachers",
    ]


def test_strengths_are_tried_on_faces_that_the_run_was_not_trained_on(
    root: Path, runs: dict[str, Run], tmp_path: Path
):
    make_runs.faces(tmp_path / "data", root)
    splits, run = load("fer2013", tmp_path / "data"), runs["le2019-deep"]
    part, whose = augmenting.unseen(splits, run)
    assert (whose, part) == ("PublicTest", splits["validation"])
    # What its protocol divides, official parts or a dataset without any: its own test alone.
    protocol = run.config.protocol.model_copy(update={"split": "random"})
    divided = replace(run, config=run.config.model_copy(update={"protocol": protocol}))
    whole = splits["train"].joined(splits["validation"]).joined(splits["test"])
    for found in (splits, replace(splits, parts={POOL: whole})):
        part, whose = augmenting.unseen(found, divided)
        assert set(part.ids) == set(run.predictions("test").ids)
    (run.path / "predictions.npz").unlink()
    assert augmenting.unseen(splits, divided) is None
