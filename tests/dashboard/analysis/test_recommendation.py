from dataclasses import replace
from pathlib import Path

from dashboard.analysis import recommendation, run_properties
from fercore.config.loading import load_config
from fercore.runs.listing import list_runs


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
