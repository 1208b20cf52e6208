"""Properties that follow from a run's records: titles, cautions, protocol, sample sizes."""

import json
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

from dashboard import formats
from fercore.config.run import CombinedConfig
from fercore.runs.listing import newest_of_each_seed
from fercore.runs.reader import Run
from fercore.runs.schema import (
    UNGROUPED,
    ClassResult,
    Latency,
    SplitResult,
    grouping,
)
from fercore.runs.split_results import dropped_classes as dropped_classes
from fercore.runs.split_results import result_of as result_of

# The splits in the order in which a page offers them, with a name for data that has none.
SPLITS = {
    "test": "Test",
    "test_unique": "Test without repeats",
    "test_all": "Test, all classes",
    "validation": "Validation",
}
LEAKS = (
    "A published protocol, faults included: images or people of the test stand in the training, or "
    "choose the checkpoint."
)
REPEATS_UNKNOWN = "predictions do not say which images repeat"
NO_PROBABILITIES = "predicted classes were imported without probabilities"


def sample_size(run: Run, result: SplitResult) -> str:
    """What an interval is based on: `n = 215, by subject, 24 groups`."""
    groups = run.grouping(result)
    return f"n = {result.n:,}{', ' + groups if groups else ''}"


def class_size(run: Run, result: SplitResult, entry: ClassResult) -> str:
    """The same of one class."""
    if entry.groups is None:
        groups = UNGROUPED if run.groups_unknown else ""
    else:
        groups = grouping(entry.groups, result.group_kind or "group")
    return f"n = {entry.support:,}{', ' + groups if groups else ''}"


def is_synthetic(run: Run) -> bool:
    """Whether code drew the images that the run learned from."""
    return bool(run.environment and run.environment.synthetic)


def scored_classes(run: Run, split: str = "test") -> tuple[str, ...]:
    """The classes that occur in one evaluation of a run."""
    result = result_of(run, split)
    return tuple(entry.name for entry in result.classes if entry.support) if result else ()


def all_classes_result(run: Run) -> SplitResult | None:
    """The evaluation on every sample of the test split, the one figure that runs share."""
    return result_of(run, "test_all")


def honest_result(run: Run) -> SplitResult | None:
    """The test split without images that stand in training.

    `None` if classes were dropped, the protocol lets tested images into the training, or the test
    split was left unread.
    """
    if not is_honest(run) or dropped_classes(run) or is_trial(run):
        return None
    return result_of(run, "test_unique")


def is_trial(run: Run) -> bool:
    """Whether the run left the test split unread.

    It was tested on the validation split, to compare recipes, or on a fold of the training split.
    """
    return run.config is not None and run.config.protocol.test in {"validation", "train_fold"}


def is_honest(run: Run) -> bool:
    """Whether nothing that is tested was trained on or chose the checkpoint.

    Of an imported run nobody here knows, nor of a mean of networks with one among them.
    """
    return run.config is not None and not leaks(run) and not has_unknown_training_data(run)


def leaks(run: Run) -> bool:
    """Whether its protocol says that what is tested was trained on or chose the checkpoint."""
    return run.config is not None and not run.config.protocol.leak_free


def has_unknown_training_data(run: Run) -> bool:
    """Whether its network, or one of those that it is the mean of, was imported."""
    combined = isinstance(run.config, CombinedConfig) and run.config.combined.imported
    return combined or run.origin == "imported"


def cautions(run: Run) -> list[str]:
    """What whoever reads the figures of a run should know, in plain words."""
    found = []
    if is_synthetic(run):
        found.append("Of faces drawn by code: these figures say nothing about real ones.")
    if has_unknown_training_data(run):
        found.append("What an imported network was trained on is not known.")
    if leaks(run):
        found.append(LEAKS)
    found += _ancestry(run)
    if text := class_subset_note(run):
        found.append(text)
    return found


def _ancestry(run: Run) -> list[str]:
    """What is known of tested images in the training of runs that this one learned from."""
    found = []
    for ancestor in run.environment.ancestors if run.environment else ():
        if ancestor.tested_images_seen is None:
            found.append(
                f"Whether {ancestor.run}, which this run learned from, was trained on tested "
                f"images is not known: {ancestor.dataset or 'its dataset'} could not be compared."
            )
        elif ancestor.tested_images_seen:
            found.append(
                f"{ancestor.run}, which this run learned from, was trained on "
                f"{ancestor.tested_images_seen:,} of the tested images ({ancestor.dataset})."
            )
    return found


def class_subset_note(run: Run) -> str:
    """What is to be said of figures that leave classes out; empty where none are."""
    if not dropped_classes(run):
        return ""
    everything = all_classes_result(run)
    also = (
        f" On all {everything.n:,} test images it is {formats.percent(everything.accuracy)}."
        if everything
        else ""
    )
    return (
        f"Scored without {', '.join(dropped_classes(run))}: not comparable with a run on all "
        f"classes.{also}"
    )


def worst_class(result: SplitResult | None) -> ClassResult | None:
    """The class with the lowest recall among those that have samples."""
    if result is None:
        return None
    seen = [entry for entry in result.classes if entry.recall is not None]
    return min(seen, key=lambda entry: entry.recall or 0.0, default=None)


def sensitivity_specificity(result: SplitResult) -> list[tuple[str, float, float]]:
    """Name, sensitivity and specificity of each class that has samples."""
    found = []
    for place, entry in enumerate(result.classes):
        others = result.n - entry.support
        if entry.support and others:
            alarms = sum(row[place] for row in result.confusion) - result.confusion[place][place]
            # The counts of another project's file may contradict each other.
            specificity = min(max(1 - alarms / others, 0.0), 1.0)
            found.append((entry.name, min(max(entry.recall or 0.0, 0.0), 1.0), specificity))
    return found


def title(run: Run) -> str:
    """What people call the run: the experiment's title, or the folder's name."""
    return run.config.title if run.config else run.id


def labels(runs: Sequence[Run]) -> dict[str, str]:
    """A short label for each run, unique among them, by run id."""
    short = {run.id: _short(run) for run in runs}
    taken = Counter(short.values())
    return {run_id: label if taken[label] == 1 else run_id for run_id, label in short.items()}


def group_by_experiment(runs: Sequence[Run]) -> list[list[Run]]:
    """The runs of one experiment together, whatever their seed and fold, in order.

    They share the version of the dataset and the images left out of training. Of each seed and
    fold the newest run counts. Alone stand the earlier runs of a seed and those that were not
    trained to their end: their figures are no further seed.
    """
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(_recipe(run), []).append(run)
    found: list[list[Run]] = []
    for group in groups.values():
        if len(group) == 1:
            found.append(group)
            continue
        counted = {run.id for run in newest_of_each_seed(group).values()}
        found.append([run for run in group if run.id in counted])
        found += [[run] for run in group if run.id not in counted]
    return found


def checkpoint(run: Run) -> int | None:
    """The epoch whose weights were kept, from 1, if one was."""
    return run.results.selection.epoch if run.results and run.results.selection else None


def latency(run: Run) -> Latency:
    """The latest measurement of the run's network; it has one."""
    return max(run.latency, key=lambda entry: entry.measured)


def protocol_words(run: Run, *, fold: bool = False) -> str | None:
    """How the run's dataset was divided: `official`, `5 folds by subject`, `random 15 %`.

    Args:
        run: any.
        fold: say which of the folds it is, `fold 2 of 5 by subject`.
    """
    if run.config is None:
        return None
    protocol = run.config.protocol
    words = {
        "official": "official",
        "random": f"random {protocol.test_fraction:.0%}",
        "subjects": f"fold {protocol.fold + 1} of {protocol.folds} by subject"
        if fold
        else f"{protocol.folds} folds by subject",
    }[protocol.split]
    if protocol.test == "train_fold":
        tested = f"fold {protocol.fold + 1} of {protocol.folds}" if fold else "each fold"
        words += f", tested on {tested} of training"
    words += {"merged": ", tests merged", "validation": ", tested on validation"}.get(
        protocol.test, ""
    )
    return words


def split_titles(runs: Sequence[Run]) -> dict[str, str]:
    """The splits that any of the runs was evaluated on, with what their dataset calls them.

    Each title and each evaluation is listed once, see `Results.distinct_splits`.
    """
    titles: dict[str, str] = {}
    distinct = [run.results.distinct_splits for run in runs if run.results]
    for split, fallback in SPLITS.items():
        found = {splits[split].title for splits in distinct if split in splits}
        if found:
            title = found.pop() if len(found) == 1 else fallback
            titles[split] = fallback if title in titles.values() else title
    return titles


def extra_loss_terms(runs: Sequence[Run]) -> list[str]:
    """What the training loss of any of the runs holds beside the cross-entropy of the labels."""
    configs = [run.experiment for run in runs if run.experiment]
    added = {
        "smoothed labels": any(config.label_smoothing for config in configs),
        "mixed images": any(config.augmentation.mixes for config in configs),
        "the answers of teachers": any(config.distillation.teachers for config in configs),
    }
    return [words for words, present in added.items() if present]


# Runs are compared by identity: one that was read anew has no entry yet.
@lru_cache(maxsize=4096)
def _recipe(run: Run) -> str:
    known = run.environment
    if run.experiment is None or not run.completed or known is None:
        return run.id
    images = (known.dataset_fingerprint, known.source_fingerprint, known.excluded_sha256)
    return json.dumps([run.experiment.recipe(), images])


def _short(run: Run) -> str:
    if run.config is None:
        return run.id
    protocol = run.config.protocol
    fold = f" · fold {protocol.fold + 1}" if protocol.by_folds else ""
    return f"{run.config.name} · s{run.config.seed}{fold}"
