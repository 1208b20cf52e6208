"""What follows from a run's records: pure functions, no Streamlit."""

import json
import math
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from dashboard import formats
from fercore import papers, schedule
from fercore.config import CombinedConfig
from fercore.records import (
    MAX_EPOCHS,
    UNGROUPED,
    ClassResult,
    Latency,
    LogRow,
    SplitResult,
    grouping,
)
from fercore.runs import Run, newest_of_each_seed

# The splits in the order in which a page offers them, with a name for data that has none.
SPLITS = {
    "test": "Test",
    "test_unique": "Test without repeats",
    "test_all": "Test, all classes",
    "validation": "Validation",
}
RESUMABLE = ("interrupted", "stalled", "failed")
HALTED = (*RESUMABLE, "diverged")
LEAKS = (
    "A published protocol, faults included: images or people of the test stand in the training, or "
    "choose the checkpoint."
)
# Of a 95% interval.
_NORMAL_QUANTILE = 1.96
REPEATS_UNKNOWN = "predictions do not say which images repeat"
NO_PROBABILITIES = "predicted classes were imported without probabilities"


@dataclass(frozen=True)
class AgainstPaper:
    """The published figure beside ours, as fractions.

    Attributes:
        difference: ours less the paper's.
        inside: whether the paper's figure lies in the 95% interval of ours, which does not contain
            the error of the printed figure.
        paper_n: samples of the paper's test set, where it is known to be another one than ours.
        interval: the 95% interval of the difference then, with the errors of both figures.
    """

    published: float
    ours: SplitResult
    difference: float
    inside: bool
    paper_n: int | None = None
    interval: tuple[float, float] | None = None


class Best(NamedTuple):
    """The run that was chosen on the validation split.

    Attributes:
        run: the run.
        test: its figure without the test images that also stand in training.
        validation: the figure that it was chosen by.
    """

    run: Run
    test: SplitResult
    validation: SplitResult


def result_of(run: Run, split: str) -> SplitResult | None:
    """The evaluation of a run on one split, if it has one.

    A run that drops no class has its figure on all classes under `"test"`.
    """
    if split == "test_all" and not dropped_classes(run):
        split = "test"
    return run.results.splits.get(split) if run.results else None


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


def dropped_classes(run: Run) -> tuple[str, ...]:
    """The classes that the run's headline figures leave out."""
    return run.config.drop_classes if run.config else ()


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
    return run.config is not None and not leaks(run) and not of_unknown_origin(run)


def leaks(run: Run) -> bool:
    """Whether its protocol says that what is tested was trained on or chose the checkpoint."""
    return run.config is not None and not run.config.protocol.honest


def of_unknown_origin(run: Run) -> bool:
    """Whether its network, or one of those that it is the mean of, was imported."""
    combined = isinstance(run.config, CombinedConfig) and run.config.combined.imported
    return combined or run.origin == "imported"


def cautions(run: Run) -> list[str]:
    """What whoever reads the figures of a run should know, in plain words."""
    found = []
    if is_synthetic(run):
        found.append("Of faces drawn by code: these figures say nothing about real ones.")
    if of_unknown_origin(run):
        found.append("What an imported network was trained on is not known.")
    if leaks(run):
        found.append(LEAKS)
    found += _ancestry(run)
    if text := partial(run):
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


def partial(run: Run) -> str:
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


def best(runs: Sequence[Run]) -> Best | None:
    """Return the run with the highest validation accuracy, and its figures.

    The test split chooses nothing: the maximum of several test accuracies would be too high. The
    runs that are compared share one dataset and one division of it, see `_comparable`. Of equally
    accurate ones that with the lower cross-entropy is taken, then the newest.
    """
    validated = [
        Best(run, test, validation)
        for run, test in _comparable(runs)
        if (validation := result_of(run, "validation"))
    ]

    def rank(own: Best) -> tuple[float, float]:
        nll = own.validation.nll
        return own.validation.accuracy, -math.inf if nll is None else -nll

    return max(validated, key=rank, default=None)


def chosen(runs: Sequence[Run]) -> Run | None:
    """The run to use: the smallest network as good as the best, by what checkpoints are chosen on.

    As good is what lies within one standard error of the best of the runs that `best` compares
    (the rule by which trees are pruned: Breiman et al., Classification and Regression Trees,
    1984, section 3.4.3). Of equally small ones, the best.
    """
    compared = [run for run, _ in _comparable(runs)]
    judged = [(run, result) for run in compared if (result := result_of(run, "validation"))]
    if not judged:
        return next(iter(compared), None)
    top = max((result for _, result in judged), key=lambda result: result.accuracy)
    error = math.sqrt(top.accuracy * (1 - top.accuracy) / top.n)
    if top.groups is not None:
        error = (top.accuracy_high - top.accuracy_low) / (2 * _NORMAL_QUANTILE)
    enough = top.accuracy - error

    def size(run: Run) -> float:
        known = run.results.parameters if run.results else None
        return math.inf if known is None else known

    near = [(run, result) for run, result in judged if result.accuracy >= enough]
    return min(near, key=lambda entry: (size(entry[0]), -entry[1].accuracy))[0]


def _comparable(runs: Sequence[Run]) -> list[tuple[Run, SplitResult]]:
    """Runs with an honest figure, on one version of one dataset, divided in one way.

    Figures on different images are not to be ranked. The division that most experiments have
    counts; of two that as many have, the one that comes first in the list.
    """
    judged: dict[str, list[tuple[Run, SplitResult]]] = {}
    experiments: dict[str, set[str]] = {}
    for run in runs:
        result = honest_result(run)
        if result and run.config:
            division = run.config.protocol.model_dump(mode="json", exclude={"leave_out", "exclude"})
            images = json.dumps([run.original_dataset, division])
            judged.setdefault(images, []).append((run, result))
            experiments.setdefault(images, set()).add(run.config.name)
    main = max(judged, key=lambda images: len(experiments[images]), default="")
    return judged.get(main, [])


def worst_class(result: SplitResult | None) -> ClassResult | None:
    """The class with the lowest recall among those that have samples."""
    if result is None:
        return None
    seen = [entry for entry in result.classes if entry.recall is not None]
    return min(seen, key=lambda entry: entry.recall or 0.0, default=None)


def rates(result: SplitResult) -> list[tuple[str, float, float]]:
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


def by_recipe(runs: Sequence[Run]) -> list[list[Run]]:
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


def against_paper(run: Run) -> AgainstPaper | None:
    """Our test accuracy beside the published one, if the experiment reproduces a figure."""
    ours = result_of(run, "test")
    if run.config is None or run.config.published is None or ours is None:
        return None
    published = run.config.published.test_accuracy / 100
    inside = ours.accuracy_low <= published <= ours.accuracy_high
    row = papers.row_of(run.config.published)
    paper_n = row.paper_n if row else None
    interval = None
    if paper_n is not None:
        ends = (ours.accuracy, ours.accuracy_low, ours.accuracy_high)
        interval = papers.difference_to_paper(ends, ours.n, published, paper_n)
    return AgainstPaper(published, ours, ours.accuracy - published, inside, paper_n, interval)


def paper_words(run: Run, found: AgainstPaper) -> str:
    """What the intervals say of the published figure beside ours."""
    ours = found.ours
    text = (
        f"The paper's figure (dashed) lies {'inside' if found.inside else 'outside'} the 95 % "
        f"interval of our figure, {formats.interval(ours.accuracy_low, ours.accuracy_high)} "
        f"({sample_size(run, ours)}). "
    )
    if found.interval is None:
        return text + "This interval does not contain the error of the printed figure."
    low, high = (formats.points(end).removesuffix(" points") for end in found.interval)
    return (
        f"{text}The paper's test set is another one (n = {found.paper_n:,}): with the errors of "
        f"both figures, the 95 % interval of the difference is {low} to {high} points (Newcombe)."
    )


def loss_adds(runs: Sequence[Run]) -> list[str]:
    """What the training loss of any of the runs holds beside the cross-entropy of the labels."""
    configs = [run.experiment for run in runs if run.experiment]
    added = {
        "smoothed labels": any(config.label_smoothing for config in configs),
        "mixed images": any(config.augmentation.mixes for config in configs),
        "the answers of teachers": any(config.distillation.teachers for config in configs),
    }
    return [words for words, present in added.items() if present]


def seconds_left(run: Run, log: Sequence[LogRow]) -> float | None:
    """How long a running training still takes if its epochs last as the last five did.

    Where the images grow during the training, time is taken as proportional to their pixels.
    """
    if run.state != "running" or run.status is None or not log:
        return None
    status = run.status
    if max(status.epochs, status.epoch) > MAX_EPOCHS:
        return None
    costs = [1.0] * max(status.epochs, log[-1].epoch)
    if run.experiment and (layers := run.layers()) and any(layers[0].output_shape[:1]):
        config = run.experiment.model_copy(update={"epochs": len(costs)})
        costs = schedule.epoch_costs(config, layers[0].output_shape[0])
    each = statistics.median(
        (row.seconds + row.val_seconds) / costs[row.epoch - 1] for row in log[-5:]
    )
    begun = status.step / status.steps if status.steps else 0.0
    to_come = costs[status.epoch : status.epochs]
    return max(0.0, (sum(to_come) - begun * to_come[0]) * each) if to_come else 0.0


def progress(run: Run) -> float:
    """The share of its epochs that a run has done, in [0, 1]."""
    status = run.status
    if status is None or not status.epochs:
        return 0.0
    begun = status.step / status.steps if status.steps and status.epoch < status.epochs else 0.0
    return min(1.0, (status.epoch + begun) / status.epochs)


def stopped_early(run: Run) -> bool:
    """Whether its config asks for epochs that it was not trained for, and nothing trains it now.

    A run that was judged after Ctrl-C is one, and so is one whose resumption died beside the
    results that it had; one whose loss was no number is not: it would end so again.
    """
    if run.experiment is None or run.is_active or run.state == "diverged":
        return False
    if run.results is not None:
        return not run.ended
    return run.state in RESUMABLE


def resume_command(run: Run) -> str | None:
    """What makes a run that stopped before its end go on; `None` if nothing here does."""
    if not stopped_early(run) or not run.can_resume:
        return None
    return f"fercore train --resume {run.id}"


def silent_for(run: Run) -> float | None:
    """Seconds since the run last said anything; `None` if that is not known."""
    if run.status is None or run.status.heartbeat <= 0:
        return None
    return max(0.0, time.time() - run.status.heartbeat)


# Runs are compared by identity: one that was read anew has no entry yet.
@lru_cache(maxsize=4096)
def _recipe(run: Run) -> str:
    known = run.environment
    if run.experiment is None or not run.ended or known is None:
        return run.id
    images = (known.dataset_fingerprint, known.source_fingerprint, known.excluded_sha256)
    return json.dumps([run.experiment.recipe(), images])


def _short(run: Run) -> str:
    if run.config is None:
        return run.id
    protocol = run.config.protocol
    fold = f" · fold {protocol.fold + 1}" if protocol.by_folds else ""
    return f"{run.config.name} · s{run.config.seed}{fold}"
