from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from dashboard.analysis import board_grouping, run_properties
from dashboard.tables import run_details_tables
from fercore.config.loading import load_config
from fercore.config.run import CombinedConfig, RunConfig
from fercore.runs import reader
from fercore.runs.listing import list_runs
from fercore.runs.reader import Run


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
    assert run_properties.labels([one]) == {one.id: "Le 2019, Deep CNN"}
    other = replace(one, path=Path("other"), config=one.config.model_copy(update={"seed": 2}))
    assert run_properties.labels([one, other]) == {
        one.id: "Le 2019, Deep CNN · seed 1",
        "other": "Le 2019, Deep CNN · seed 2",
    }
    environment = one.environment.model_copy(update={"started": "2026-01-02T03:04:05+00:00"})
    earlier = replace(one, path=Path("earlier"), environment=environment)
    start = f"{datetime.fromtimestamp(reader.started(one), UTC):%Y-%m-%d %H:%M}"
    assert run_properties.labels([one, earlier]) == {
        one.id: f"Le 2019, Deep CNN · seed 1 · {start}",
        "earlier": "Le 2019, Deep CNN · seed 1 · 2026-01-02 03:04",
    }
    assert run_properties.labels([one, again]) == {
        one.id: f"Le 2019, Deep CNN · {one.id}",
        "again": "Le 2019, Deep CNN · again",
    }
    # A title that looks like another run's name.
    named = one.config.model_copy(update={"title": "Le 2019, Deep CNN · seed 1"})
    odd = replace(one, path=Path("odd"), config=named)
    assert run_properties.labels([one, other, odd]) == {
        one.id: one.id,
        "other": "Le 2019, Deep CNN · seed 2",
        "odd": "odd",
    }


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
    assert list(run_details_tables.splits_table(trial)["Split"]) == list(
        run_properties.split_titles([trial]).values()
    )
    mixed = run_properties.split_titles([trial, real])
    assert (mixed["test"], mixed["validation"]) == ("Test", "PublicTest")
    # Other images under the same name stay apart.
    renamed = splits["validation"].model_copy(update={"title": splits["test"].title})
    results = real.results.model_copy(update={"splits": splits | {"validation": renamed}})
    titles = run_properties.split_titles([replace(real, results=results)])
    assert len(set(titles.values())) == len(titles) == 3


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
    run = next(run for run in runs if run_properties.honest_result(run))
    changes = {"protocol.test": "train_fold", "protocol.fold": 1, "keep": "last"}
    changes |= {"schedule.kind": "constant", "early_stopping.patience": 0}
    fold = replace(run, config=load_config(run.path / "config.json", changes))
    boards = board_grouping.boards([fold], "fer2013")
    assert board_grouping.main_board(boards) is None
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
