"""Resolve initial weights and teachers, and refuse runs that have seen the test images."""

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
    """The run whose weights a training starts from; `None` if it starts from none.

    Args:
        root: of the runs.
        config: of the training; its `start_from` names the run.
        splits: its dataset.

    Raises:
        UserError: if there is no such run, or this network cannot start from it: it lacks its
            checkpoint, is of another network or image size, or what is judged here was seen by it,
            or by a run that it learnt from itself.
    """
    if config.start_from is None:
        return None
    run = find_run(root, config.start_from)
    if problem := next(_start_problems(root, run, config, splits), ""):
        raise UserError(f"received start_from = {run.id}, {problem}")
    return run


def resolve_teachers(root: Path, config: ExperimentConfig, splits: Splits) -> tuple[Run, ...]:
    """The runs that `config.distillation.teachers` names.

    A name is a run's, or that of an experiment, which stands for the newest finished run of every
    seed of it that has what it teaches from: its checkpoint, or its `model.onnx` if it is asked
    once.

    Args:
        root: of the runs.
        config: of the network that is to be taught.
        splits: its dataset.

    Returns:
        The runs, none of them twice.

    Raises:
        UserError: if there are none of a name, or one cannot teach this network: it lacks what it
            teaches from, its outputs are others, or it, or a run that it learnt from, was trained
            on other samples.
    """
    once = config.distillation.asked == "once"
    found = {
        run.id: run
        for name in config.distillation.teachers
        for run in _find_named_runs(root, name, once)
    }.values()
    for run in found:
        if problem := next(_teacher_problems(root, run, config, splits), ""):
            raise UserError(f"received the teacher {run.id}, {problem}")
    return tuple(found)


def _find_named_runs(root: Path, name: str, once: bool) -> list[Run]:
    if (root / name / "config.json").is_file():
        return [find_run(root, name)]
    runs = [run for run in list_runs(root) if run.completed]
    if name in list_configs():
        # As it stands: a trial under its name teaches nobody.
        named = [run for _, run in completed_runs(load_config(name), runs)]
    else:
        named = [run for run in reversed(runs) if run.experiment and run.experiment.name == name]
    newest = {run.experiment.seed: run for run in named if run.experiment and _can_teach(run, once)}
    if not newest:
        what = (
            f"which lacks {_missing_files(named, once)}" if named else "of which there is neither"
        )
        raise UserError(
            f"received the teacher {name!r}, {what}; expected a run under {root}, or an experiment "
            "with a finished one there (fercore runs list)"
        )
    return [newest[seed] for seed in sorted(newest)]


def _start_problems(
    root: Path, run: Run, config: ExperimentConfig, splits: Splits
) -> Iterator[str]:
    yield from _problems(run)
    if not run.best_path.is_file():
        yield f"which lacks {_missing_checkpoint(run)}"
    own = run.experiment
    assert own is not None
    if (own.model, own.model_options) != (config.model, config.model_options):
        yield (
            f"a {own.model} with {own.model_options}; expected a {config.model} with "
            f"{config.model_options}"
        )
    yield from _image_size_mismatch(run, config, splits)
    yield from _leaks(root, run, config, splits)


def _image_size_mismatch(run: Run, config: ExperimentConfig, splits: Splits) -> Iterator[str]:
    side = config.image.size or next(iter(splits.parts.values())).images.shape[1]
    layers = run.layers()
    if not layers or not layers[0].output_shape:
        yield "whose layers.json is missing or cannot be read; see `fercore runs check`"
    elif (taken := layers[0].output_shape[0]) != side:
        yield f"which takes images of side {taken}, not of {side}; expected image.size = {taken}"


def _teacher_problems(
    root: Path, run: Run, config: ExperimentConfig, splits: Splits
) -> Iterator[str]:
    yield from _problems(run)
    once = config.distillation.asked == "once"
    if not _can_teach(run, once):
        yield f"which lacks {_missing_files([run], once)}"
    own = run.experiment
    assert own is not None
    assert run.results is not None
    if own.loss != "cross_entropy" or own.head != "network":
        yield "whose outputs are no logits; expected the cross-entropy loss and no forest"
    if tuple(run.results.class_names) != splits.class_names or own.image != config.image:
        yield f"which takes other images or knows other classes than {config.name}"
    yield from _image_size_mismatch(run, config, splits)
    if config.protocol.honest and own.dataset != config.dataset:
        yield _SAW_TEST_IMAGES
    yield from _leaks(root, run, config, splits)


def _leaks(root: Path, run: Run, config: ExperimentConfig, splits: Splits) -> Iterator[str]:
    """How a run, or one that it learnt from, may know what an honest protocol judges."""
    if not config.protocol.honest:
        return
    judged = splits.source.name if splits.source else config.dataset
    for name, of_line in iter_ancestors(root, run):
        if of_line is None:
            yield f"which learnt from {name}, a run that is not here: nobody knows what that saw"
            continue
        own, saw = of_line.experiment, of_line.original_dataset
        if own is None or saw is None:
            yield f"which learnt from {name}, of which nobody knows what it saw"
            continue
        same = saw.fingerprint == splits.original.fingerprint
        # A derived dataset holds the images of its source, in the same splits.
        safe = same and _saw_no_test_image(own.protocol, config.protocol)
        if saw.name == judged and not safe:
            yield (
                _SAW_TEST_IMAGES
                if of_line.id == run.id
                else f"which learnt from {of_line.id}, {_SAW_TEST_IMAGES}"
            )


def _saw_no_test_image(own: ProtocolConfig, wanted: ProtocolConfig) -> bool:
    """Whether a run on the same data with protocol `own` saw nothing that `wanted` tests."""
    if own.has_same_splits(wanted):
        return True
    # It saw training images alone, and nothing was chosen on the validation split.
    return own.test == "train_fold" and wanted.split == "official" and wanted.test != "train_fold"


def _problems(run: Run) -> Iterator[str]:
    """What is wrong with a run whose weights are asked for; after the first, stop."""
    if run.experiment is None or run.results is None:
        yield f"which is {run.state} or was not trained here; expected a finished training"


def _can_teach(run: Run, once: bool) -> bool:
    return run.onnx_path is not None if once else run.best_path.is_file()


def _missing_files(runs: Sequence[Run], once: bool) -> str:
    """What runs do not teach without, and how to mend that; the newest stands last."""
    if once:
        return f"its model.onnx; {how_to_recreate(runs[-1])}"
    if any(run.onnx_path for run in runs):
        return 'its checkpoint; let its model.onnx be asked: distillation.asked = "once"'
    return _missing_checkpoint(runs[-1])


def _missing_checkpoint(run: Run) -> str:
    return (
        "its checkpoint (it stays on the machine that trained); train it again here and use the "
        f"new run instead: {train_command(run)}"
    )


_SAW_TEST_IMAGES = (
    "which was trained on other samples and may know what is judged here; expected the same "
    "dataset and protocol, or protocol.honest = false"
)
