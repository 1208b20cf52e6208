"""Initial weights and teachers of a training; runs that have seen its test images are refused."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from fercore.config.experiment import ExperimentConfig
from fercore.config.loading import list_configs, load_config
from fercore.config.protocol import ProtocolConfig
from fercore.data.splits import Splits
from fercore.errors import UserError
from fercore.runs.lineage import iter_ancestors
from fercore.runs.listing import completed_runs, find_run, list_runs
from fercore.runs.reader import Run
from fercore.runs.recreate import how_to_recreate, train_command


def resolve_initial_run(root: Path, config: ExperimentConfig, splits: Splits) -> Run | None:
    """Return the run with the initial weights of a training; `None` if the config names none.

    Args:
        root: folder of the runs.
        config: config of the training; its `init_from` names the run.
        splits: the dataset of the training.

    Raises:
        UserError: if there is no such run, or its weights cannot be used. It may lack its
            checkpoint, or have another network or image size. The run, or one of its ancestors,
            may have seen the test images of this training.
    """
    if config.init_from is None:
        return None
    run = find_run(root, config.init_from)
    if problem := next(_find_initial_run_problems(root, run, config, splits), ""):
        raise UserError(f"received init_from = {run.id}, {problem}")
    return run


def resolve_teachers(root: Path, config: ExperimentConfig, splits: Splits) -> tuple[Run, ...]:
    """Return the runs that `config.distillation.teachers` names, each of them once.

    A name is that of a run or of an experiment. An experiment stands for the newest finished run of
    each of its seeds that has the file for predictions: `model.onnx` if the teachers predict once
    before the training, otherwise the checkpoint.

    Args:
        root: folder of the runs.
        config: config of the student.
        splits: the dataset of the student.

    Raises:
        UserError: if a name has no runs, or a run cannot be a teacher. It may lack the file for
            predictions, or have other outputs. The run, or one of its ancestors, may have been
            trained on other samples.
    """
    once = config.distillation.mode == "precomputed"
    teachers = {
        run.id: run
        for name in config.distillation.teachers
        for run in _find_named_runs(root, name, once)
    }.values()
    for run in teachers:
        if problem := next(_find_teacher_problems(root, run, config, splits), ""):
            raise UserError(f"received the teacher {run.id}, {problem}")
    return tuple(teachers)


def _find_named_runs(root: Path, name: str, once: bool) -> list[Run]:
    """Return the run of that name, or the newest usable run of each seed of that experiment."""
    if (root / name / "config.json").is_file():
        return [find_run(root, name)]
    completed = [run for run in list_runs(root) if run.completed]
    if name in list_configs():
        # Only runs of the experiment as it is now, without changed fields.
        runs = [run for _, run in completed_runs(load_config(name), completed)]
    else:
        runs = [run for run in reversed(completed) if _is_of_experiment(run, name)]
    newest = {run.experiment.seed: run for run in runs if run.experiment and _can_teach(run, once)}
    if not newest:
        problem = (
            f"which lacks {_missing_files(runs, once)}"
            if runs
            else "which is neither a run nor an experiment with a finished run"
        )
        raise UserError(
            f"received the teacher {name!r}, {problem}; expected a run under {root}, or an "
            "experiment with a finished run there (fercore runs list)"
        )
    return [newest[seed] for seed in sorted(newest)]


def _is_of_experiment(run: Run, name: str) -> bool:
    return run.experiment is not None and run.experiment.name == name


def _find_initial_run_problems(
    root: Path, run: Run, config: ExperimentConfig, splits: Splits
) -> Iterator[str]:
    yield from _find_unfinished(run)
    if not run.best_path.is_file():
        yield f"which lacks {_missing_checkpoint(run)}"
    source = run.experiment
    assert source is not None
    if (source.model, source.model_options) != (config.model, config.model_options):
        yield (
            f"a {source.model} with {source.model_options}; expected a {config.model} with "
            f"{config.model_options}"
        )
    yield from _find_size_mismatch(run, config, splits)
    yield from _find_leaks(root, run, config, splits)


def _find_size_mismatch(run: Run, config: ExperimentConfig, splits: Splits) -> Iterator[str]:
    size = config.image.size or next(iter(splits.parts.values())).images.shape[1]
    layers = run.layers()
    if not layers or not layers[0].output_shape:
        yield "whose layers.json is missing or cannot be read; see `fercore runs check`"
    elif (input_size := layers[0].output_shape[0]) != size:
        yield (
            f"which takes images {input_size} pixels wide, but these are {size} pixels wide; "
            f"expected image.size = {input_size}"
        )


def _find_teacher_problems(
    root: Path, run: Run, config: ExperimentConfig, splits: Splits
) -> Iterator[str]:
    yield from _find_unfinished(run)
    once = config.distillation.mode == "precomputed"
    if not _can_teach(run, once):
        yield f"which lacks {_missing_files([run], once)}"
    teacher = run.experiment
    assert teacher is not None
    assert run.results is not None
    if teacher.loss != "cross_entropy" or teacher.head != "network":
        yield "whose outputs are not logits; expected the cross-entropy loss and no random forest"
    if tuple(run.results.class_names) != splits.class_names or teacher.image != config.image:
        yield f"which has other images or classes than {config.name}"
    yield from _find_size_mismatch(run, config, splits)
    if config.protocol.leak_free and teacher.dataset != config.dataset:
        yield _SAW_TEST_IMAGES
    yield from _find_leaks(root, run, config, splits)


def _find_leaks(root: Path, run: Run, config: ExperimentConfig, splits: Splits) -> Iterator[str]:
    """Yield how a run or one of its ancestors may have seen the images of a leak-free test."""
    if not config.protocol.leak_free:
        return
    # A derived dataset holds the images of its source, in the same splits.
    tested_dataset = splits.source.name if splits.source else config.dataset
    for name, ancestor in iter_ancestors(root, run):
        if ancestor is None:
            yield f"which learnt from {name}, a run that is absent: its training images are unknown"
            continue
        experiment, dataset = ancestor.experiment, ancestor.original_dataset
        if experiment is None or dataset is None:
            yield f"which learnt from {name}, whose training images are unknown"
            continue
        is_same_version = dataset.fingerprint == splits.original.fingerprint
        is_safe = is_same_version and _saw_no_test_image(experiment.protocol, config.protocol)
        if dataset.name == tested_dataset and not is_safe:
            yield (
                _SAW_TEST_IMAGES
                if ancestor.id == run.id
                else f"which learnt from {ancestor.id}, {_SAW_TEST_IMAGES}"
            )


def _saw_no_test_image(run: ProtocolConfig, new: ProtocolConfig) -> bool:
    """Return whether a run has seen none of the test images of a new protocol on the same data.

    Args:
        run: the protocol of the run.
        new: the protocol of the training that uses the run.
    """
    if run.has_same_splits(new):
        return True
    # The run saw only training images, and no checkpoint was selected on the validation split.
    return run.test == "train_fold" and new.split == "official" and new.test != "train_fold"


def _find_unfinished(run: Run) -> Iterator[str]:
    """Yield the problem that a run is not finished or not trained here.

    Further problems must not be searched after it, since they need the results of the run.
    """
    if run.experiment is None or run.results is None:
        yield f"which is {run.state} or was not trained here; expected a finished training"


def _can_teach(run: Run, once: bool) -> bool:
    return run.onnx_path is not None if once else run.best_path.is_file()


def _missing_files(runs: Sequence[Run], once: bool) -> str:
    """Return what runs lack as teachers, and how to get it; the newest run is the last."""
    if once:
        return f"its model.onnx; {how_to_recreate(runs[-1])}"
    if any(run.onnx_path for run in runs):
        return 'its checkpoint; use its model.onnx instead: distillation.mode = "precomputed"'
    return _missing_checkpoint(runs[-1])


def _missing_checkpoint(run: Run) -> str:
    return (
        "its checkpoint, which stays on the machine of the training; train it again here and use "
        f"the new run instead: {train_command(run)}"
    )


_SAW_TEST_IMAGES = (
    "which was trained on other samples and may have seen the test images; expected the same "
    "dataset and protocol, or protocol.leak_free = false"
)
