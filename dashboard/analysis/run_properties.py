"""Properties derived from a run's records: titles, cautions, protocol, sample sizes."""

import json
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache

from dashboard import formats
from fercore.config.run import CombinedConfig
from fercore.runs.listing import newest_of_each_seed
from fercore.runs.reader import Run, started
from fercore.runs.schema import UNGROUPED, ClassResult, Latency, SplitResult, grouping
from fercore.runs.split_results import dropped_classes as dropped_classes
from fercore.runs.split_results import result_of as result_of

# The splits in the order of the pages, with titles for datasets that give none.
SPLITS = {
    "test": "Test",
    "test_unique": "Test (deduplicated)",
    "test_all": "Test, all classes",
    "validation": "Validation",
}
LEAKS = (
    "A published protocol with its leakage: images or people of the test set occur in training, or "
    "the test set selects the checkpoint."
)
DUPLICATES_UNKNOWN = "stored predictions do not mark the duplicates of training images"
NO_PROBABILITIES = "the imported predictions are classes without probabilities"


def display_title(title: str) -> str:
    """Return what pages call an evaluation: the titles in records have an older wording."""
    return title.replace(" without repeats", " (deduplicated)")


def sample_size(run: Run, result: SplitResult) -> str:
    """Return the sample size behind an interval: `n = 215, by subject, 24 groups`."""
    groups = run.grouping(result)
    return f"n = {result.n:,}{', ' + groups if groups else ''}"


def class_size(run: Run, result: SplitResult, entry: ClassResult) -> str:
    """Return the sample size of one class, in the form of `sample_size`."""
    if entry.groups is None:
        groups = UNGROUPED if run.groups_unknown else ""
    else:
        groups = grouping(entry.groups, result.group_kind or "group")
    return f"n = {entry.support:,}{', ' + groups if groups else ''}"


def is_synthetic(run: Run) -> bool:
    """Return whether the run was trained on synthetic images."""
    return bool(run.environment and run.environment.synthetic)


def scored_classes(run: Run, split: str = "test") -> tuple[str, ...]:
    """Return the classes with samples in one evaluation of a run."""
    result = result_of(run, split)
    return tuple(entry.name for entry in result.classes if entry.support) if result else ()


def all_classes_result(run: Run) -> SplitResult | None:
    """Return the result on every sample of the test split, whatever classes the run drops."""
    return result_of(run, "test_all")


def honest_result(run: Run) -> SplitResult | None:
    """Return the result on the test split without images that occur in training.

    `None` if the run dropped classes, is not leakage-free, or was not evaluated on the test split.
    """
    if not is_honest(run) or dropped_classes(run) or is_trial(run):
        return None
    return result_of(run, "test_unique")


def is_trial(run: Run) -> bool:
    """Return whether the run was evaluated on validation or a fold of training, not on test."""
    return run.config is not None and run.config.protocol.test in {"validation", "train_fold"}


def is_honest(run: Run) -> bool:
    """Return whether no tested image was trained on or used to select the checkpoint.

    `False` for an imported run and for an ensemble with an imported member: their training data is
    unknown.
    """
    return run.config is not None and not leaks(run) and not has_unknown_training_data(run)


def leaks(run: Run) -> bool:
    """Return whether by its protocol tested images are trained on or select the checkpoint."""
    return run.config is not None and not run.config.protocol.leak_free


def has_unknown_training_data(run: Run) -> bool:
    """Return whether its network, or a member of the ensemble, was imported."""
    combined = isinstance(run.config, CombinedConfig) and run.config.combined.imported
    return combined or run.origin == "imported"


def cautions(run: Run) -> list[str]:
    """Return sentences that a reader of the run's results has to know."""
    texts = []
    if is_synthetic(run):
        texts.append("Synthetic faces: these results do not carry over to real faces.")
    if has_unknown_training_data(run):
        texts.append("The training data of an imported network is unknown.")
    if leaks(run):
        texts.append(LEAKS)
    texts += _ancestor_cautions(run)
    if text := class_subset_note(run):
        texts.append(text)
    return texts


def _ancestor_cautions(run: Run) -> list[str]:
    """Return a sentence for each ancestor of a run that has, or may have, seen tested images."""
    texts = []
    for ancestor in run.environment.ancestors if run.environment else ():
        if ancestor.tested_images_seen is None:
            texts.append(
                f"It is unknown whether {ancestor.run}, which this run learned from, was trained "
                f"on tested images: {ancestor.dataset or 'its dataset'} could not be compared."
            )
        elif ancestor.tested_images_seen:
            texts.append(
                f"{ancestor.run}, which this run learned from, was trained on "
                f"{ancestor.tested_images_seen:,} of the tested images ({ancestor.dataset})."
            )
    return texts


def class_subset_note(run: Run) -> str:
    """Return a caution about results that leave classes out; empty where none are left out."""
    if not dropped_classes(run):
        return ""
    complete = all_classes_result(run)
    accuracy = (
        f" The accuracy on all {complete.n:,} test images is {formats.percent(complete.accuracy)}."
        if complete
        else ""
    )
    return (
        f"Scored without {', '.join(dropped_classes(run))}: not comparable with a run on all "
        f"classes.{accuracy}"
    )


def worst_class(result: SplitResult | None) -> ClassResult | None:
    """Return the class with the lowest recall among those that have samples."""
    if result is None:
        return None
    scored = [entry for entry in result.classes if entry.recall is not None]
    return min(scored, key=lambda entry: entry.recall or 0.0, default=None)


def sensitivity_specificity(result: SplitResult) -> list[tuple[str, float, float]]:
    """Return name, sensitivity and specificity of each class that has samples."""
    rates = []
    for place, entry in enumerate(result.classes):
        others = result.n - entry.support
        if entry.support and others:
            predicted = sum(row[place] for row in result.confusion)
            false_positives = predicted - result.confusion[place][place]
            # The counts in a file of another project may contradict each other.
            specificity = min(max(1 - false_positives / others, 0.0), 1.0)
            rates.append((entry.name, min(max(entry.recall or 0.0, 0.0), 1.0), specificity))
    return rates


def title(run: Run) -> str:
    """Return the title of the run's experiment, or the folder's name if there is no config."""
    return run.config.title if run.config else run.id


def labels(runs: Sequence[Run]) -> dict[str, str]:
    """Return a name for each run, unique among them, by run id.

    It is the title of the experiment, with the fold of a cross-validation. Where several runs share
    it, the seed is added, then the start, or the id if nothing else tells them apart.
    """
    names: dict[str, str] = {}
    for name_of in (_short_name, _name_with_seed, _name_with_start, _name_with_id):
        candidates = {run.id: name_of(run) for run in runs}
        counts = Counter(candidates.values())
        for run_id, name in candidates.items():
            if counts[name] == 1:
                names.setdefault(run_id, name)
    counts = Counter(names.values())
    return {run.id: names[run.id] if counts[names[run.id]] == 1 else run.id for run in runs}


def group_by_experiment(runs: Sequence[Run]) -> list[list[Run]]:
    """Group the seeds and folds of each experiment, in order.

    The runs of a group share the version of the dataset and the images left out of training. Each
    seed and fold is represented by its newest run. Older runs of a seed, and runs that were not
    trained to their end, form groups of their own: they are no further seeds.
    """
    by_experiment: dict[str, list[Run]] = {}
    for run in runs:
        by_experiment.setdefault(_experiment_key(run), []).append(run)
    groups: list[list[Run]] = []
    for members in by_experiment.values():
        if len(members) == 1:
            groups.append(members)
            continue
        newest = {run.id for run in newest_of_each_seed(members).values()}
        groups.append([run for run in members if run.id in newest])
        groups += [[run] for run in members if run.id not in newest]
    return groups


def checkpoint(run: Run) -> int | None:
    """Return the epoch of the selected checkpoint, from 1, or `None`."""
    return run.results.selection.epoch if run.results and run.results.selection else None


def latency(run: Run) -> Latency:
    """Return the latest latency measurement of the run; there has to be one."""
    return max(run.latency, key=lambda entry: entry.measured)


def protocol_words(run: Run, *, fold: bool = False) -> str | None:
    """Describe how the run's dataset was split: `official`, `5 folds by subject`, `random 15 %`.

    Args:
        run: any.
        fold: name the run's fold as well, `fold 2 of 5 by subject`.
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
        words += f", evaluated on {tested} of training"
    words += {"merged": ", tests merged", "validation": ", evaluated on validation"}.get(
        protocol.test, ""
    )
    return words


def split_titles(runs: Sequence[Run]) -> dict[str, str]:
    """Return the splits that any of the runs was evaluated on, with their dataset's titles.

    Each title and each evaluation is listed once, see `Results.distinct_splits`. The first split is
    the default of the pages: the one without duplicates of training images, as on the leaderboard,
    if it is a fair one for all of the runs, see `honest_result`.
    """
    titles: dict[str, str] = {}
    order = sorted(SPLITS, key=lambda split: split != "test_unique")
    if not runs or not all(map(honest_result, runs)):
        order = list(SPLITS)
    distinct = [run.results.distinct_splits for run in runs if run.results]
    for split in order:
        fallback = SPLITS[split]
        candidates = {display_title(splits[split].title) for splits in distinct if split in splits}
        if candidates:
            title = candidates.pop() if len(candidates) == 1 else fallback
            titles[split] = fallback if title in titles.values() else title
    return titles


def extra_loss_terms(runs: Sequence[Run]) -> list[str]:
    """Name the terms in the training loss of any of the runs besides cross-entropy with labels."""
    configs = [run.experiment for run in runs if run.experiment]
    added = {
        "label smoothing": any(config.label_smoothing for config in configs),
        "mixed images": any(config.augmentation.mixes for config in configs),
        "distillation targets": any(config.distillation.teachers for config in configs),
    }
    return [words for words, present in added.items() if present]


# Runs are compared by identity: a run that was read again has no entry yet.
@lru_cache(maxsize=4096)
def _experiment_key(run: Run) -> str:
    environment = run.environment
    if run.experiment is None or not run.completed or environment is None:
        return run.id
    images = (
        environment.dataset_fingerprint,
        environment.source_fingerprint,
        environment.excluded_sha256,
    )
    return json.dumps([run.experiment.recipe(), images])


def _short_name(run: Run) -> str:
    if run.config is None or not run.config.protocol.by_folds:
        return title(run)
    return f"{title(run)} · fold {run.config.protocol.fold + 1}"


def _name_with_seed(run: Run) -> str:
    return f"{_short_name(run)} · seed {run.config.seed}" if run.config else run.id


def _name_with_start(run: Run) -> str:
    start = datetime.fromtimestamp(started(run), UTC)
    return f"{_name_with_seed(run)} · {start:%Y-%m-%d %H:%M}"


def _name_with_id(run: Run) -> str:
    return run.id if title(run) == run.id else f"{title(run)} · {run.id}"
