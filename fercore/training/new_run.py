"""Check the request for a new training, and run a training in its run directory."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fercore.config.experiment import ExperimentConfig
from fercore.data.registry import load_dataset
from fercore.data.splits import Splits
from fercore.errors import UserError
from fercore.evaluation.leakage import check_ancestors
from fercore.evaluation.protocol import build_protocol
from fercore.models import require
from fercore.runs.schema import Ancestor, Results
from fercore.runs.writer import RunWriter
from fercore.training.warm_start import resolve_initial_run, resolve_teachers

if TYPE_CHECKING:
    from fercore.training.callbacks import OnProgress


@dataclass(frozen=True)
class TrainingRequest:
    """A new training that has been checked.

    Attributes:
        config: of the experiment; its teachers are named run by run.
        splits: its dataset.
        ancestors: the runs that it begins with or learns from.
    """

    config: ExperimentConfig
    splits: Splits
    ancestors: tuple[Ancestor, ...]


def check_request(config: ExperimentConfig, runs_root: Path, data_root: Path) -> TrainingRequest:
    """Check everything that can be wrong with a new training, without importing Keras.

    Args:
        config: the experiment.
        runs_root: folder of the runs, where initial runs and teachers are looked up.
        data_root: folder of the datasets.

    Raises:
        UserError: if the dataset, network, initial run or a teacher is missing or unsuitable, or
            the protocol does not fit the dataset.
    """
    splits = load_dataset(config.dataset, data_root)
    require(config.model)
    resolve_initial_run(runs_root, config, splits)
    build_protocol(config, splits)
    # A teacher may be named by its experiment. The run records which runs that stood for.
    teachers = [run.id for run in resolve_teachers(runs_root, config, splits)]
    if teachers:
        distillation = config.distillation.model_copy(update={"teachers": tuple(teachers)})
        config = config.model_copy(update={"distillation": distillation})
    ancestors = check_ancestors(runs_root, config, splits, data_root)
    return TrainingRequest(config, splits, ancestors)


def train_in(
    writer: RunWriter,
    request: TrainingRequest,
    *,
    command: str,
    resume: bool = False,
    on_progress: "OnProgress" = lambda progress: None,
) -> Results:
    """Train in a run directory; discard a new one that fails before its training can begin.

    Args:
        writer: of the run directory.
        request: the training.
        command: the command that starts this run again, for the record.
        resume: continue from the last saved epoch.
        on_progress: called often; must be quick.

    Raises:
        UserError: as `fercore.training.trainer.train` raises it, and if the run directory cannot be
            written.
        KeyboardInterrupt: if it is interrupted before the end of the first epoch, or twice.
    """
    from fercore.training.trainer import train

    try:
        return train(
            request.config,
            request.splits,
            writer,
            command=command,
            resume=resume,
            ancestors=request.ancestors,
            on_progress=on_progress,
        )
    except UserError:
        # The layer table is written when the training begins; a run without it is empty.
        if not resume and not (writer.path / "layers.json").is_file():
            writer.discard()
        raise
    except OSError as error:
        raise UserError(
            f"cannot write {writer.path} ({error.strerror or error}); saved epochs are kept: fix "
            f"the problem, then continue with: fercore train --resume {writer.path.name}"
        ) from None
