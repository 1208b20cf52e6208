"""What follows from a run's records: pure functions, no Streamlit."""

import json
import math
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from dashboard import formats
from fercore import schedule
from fercore.config import CombinedConfig
from fercore.records import MAX_EPOCHS, ClassResult, Latency, LogRow, SplitResult
from fercore.runs import Run

# The splits in the order in which a page offers them, with a name for data that has none.
SPLITS = {
    "test": "Test",
    "test_unique": "Test without repeats",
    "test_all": "Test, all classes",
    "validation": "Validation",
}
RESUMABLE = ("interrupted", "stalled", "failed")
LEAKS = (
    "A published protocol, faults included: images or people of the test stand in the training, or "
    "choose the checkpoint."
)
REPEATS_UNKNOWN = "predictions do not say which images repeat"
REPEATS_AMONG_THEM = f"The repeats are among them: {REPEATS_UNKNOWN}."


@dataclass(frozen=True)
class AgainstPaper:
    """The published figure beside ours, as fractions.

    Attributes:
        difference: ours less the paper's.
        inside: whether the paper's figure lies in our 95% interval.
    """

    published: float
    ours: SplitResult
    difference: float
    inside: bool


def result_of(run: Run, split: str) -> SplitResult | None:
    """The evaluation of a run on one split, if it has one.

    A run that drops no class has its figure on all classes under `"test"`.
    """
    if split == "test_all" and not dropped_classes(run):
        split = "test"
    return run.results.splits.get(split) if run.results else None


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
    if text := partial(run):
        found.append(text)
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


def best(runs: Sequence[Run]) -> tuple[Run, SplitResult] | None:
    """The run with the best honest figure on the dataset that most experiments are of."""
    return max(_comparable(runs), key=lambda entry: entry[1].accuracy, default=None)


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
    enough = top.accuracy - math.sqrt(top.accuracy * (1 - top.accuracy) / top.n)

    def size(run: Run) -> float:
        known = run.results.parameters if run.results else None
        return math.inf if known is None else known

    near = [(run, result) for run, result in judged if result.accuracy >= enough]
    return min(near, key=lambda entry: (size(entry[0]), -entry[1].accuracy))[0]


def _comparable(runs: Sequence[Run]) -> list[tuple[Run, SplitResult]]:
    """Runs with an honest figure, on one dataset.

    Figures on different datasets are not to be ranked; where as many experiments are of two, the
    one that comes first in the list counts.
    """
    judged: dict[str, list[tuple[Run, SplitResult]]] = {}
    experiments: dict[str, set[str]] = {}
    for run in runs:
        result = honest_result(run)
        if result and run.config:
            judged.setdefault(run.config.dataset, []).append((run, result))
            experiments.setdefault(run.config.dataset, set()).add(run.config.name)
    main = max(judged, key=lambda dataset: len(experiments[dataset]), default="")
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

    One that was not trained to its end stands alone: its figures are of another training.
    """
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(_recipe(run), []).append(run)
    return list(groups.values())


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
    """The splits that any of the runs was evaluated on, with what their dataset calls them."""
    titles: dict[str, str] = {}
    for split, fallback in SPLITS.items():
        results = [run.results.splits.get(split) for run in runs if run.results]
        found = {result.title for result in results if result}
        if found:
            titles[split] = found.pop() if len(found) == 1 else fallback
    return titles


def against_paper(run: Run) -> AgainstPaper | None:
    """Our test accuracy beside the published one, if the experiment reproduces a figure."""
    ours = result_of(run, "test")
    if run.config is None or run.config.published is None or ours is None:
        return None
    published = run.config.published.test_accuracy / 100
    inside = ours.accuracy_low <= published <= ours.accuracy_high
    return AgainstPaper(published, ours, ours.accuracy - published, inside)


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
    if run.experiment is None or run.state == "running":
        return False
    if run.results is not None:
        return not run.ended and run.results.stopped_by != "not a number"
    return run.state in RESUMABLE


def resume_command(run: Run) -> str | None:
    """What makes a run that stopped before its end go on; `None` if nothing here does."""
    if not stopped_early(run) or not run.last_path.is_file():
        return None
    return f"fercore train --resume {run.id}"


def silent_for(run: Run) -> float | None:
    """Seconds since the run last said anything; `None` if that is not known."""
    if run.status is None or run.status.heartbeat <= 0:
        return None
    return time.time() - run.status.heartbeat


def _recipe(run: Run) -> str:
    if run.experiment is None or not run.ended:
        return run.id
    excluded = run.environment.excluded_sha256 if run.environment else None
    return json.dumps([run.experiment.recipe(), excluded])


def _short(run: Run) -> str:
    if run.config is None:
        return run.id
    protocol = run.config.protocol
    fold = f" · fold {protocol.fold + 1}" if protocol.by_folds else ""
    return f"{run.config.name} · s{run.config.seed}{fold}"
