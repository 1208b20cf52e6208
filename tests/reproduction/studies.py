"""Two small studies, and runs and logs for them that were never trained."""

import json
from collections.abc import Sequence
from pathlib import Path

from fercore.cli.ablations import make_job
from fercore.reproduction import ablations
from fercore.reproduction.ablations import Change, Study
from fercore.runs.reader import Run
from fercore.runs.schema import EpochLog
from tests.tiny import UntrainedRun

TEXT = """
[[study]]
key = "parts"
title = "Parts of a recipe"
base = "facet-screening"
note = "One thing is changed at a time."

[[study.change]]
key = "start"
title = "As it is"

[[study.change]]
key = "flip"
title = "No erasing"
set = { "augmentation.erasing" = 0.0 }

[[study.change]]
key = "sgd"
title = "SGD"
set = { "optimizer.name" = "sgd" }

[[study]]
key = "steps"
title = "Step by step"
base = "synthetic-quick"
target = 60
seeds = 2

[[study.change]]
key = "start"
title = "As it is"

[[study.change]]
key = "muon"
title = "Muon"
set = { "optimizer.name" = "muon", "optimizer.learning_rate" = 0.01 }

[[study.change]]
key = "facet"
title = "Facet, tiny"
on = "muon"
set = { model = "facet", model_options = { variant = "tiny", dropout = 0.1 } }

[[study.change]]
key = "wide"
title = "Facet, tiny, wider, without dropout"
on = "facet"
set = { "model_options.width" = 1.5, "model_options.dropout" = 0.0 }

[[study.change]]
key = "sgd"
title = "SGD"
set = { "optimizer.name" = "sgd" }
"""


COMMITTED = Path(__file__).parents[2] / "runs"
PARTS, STEPS = ablations.parse(TEXT)
(RECIPE,) = (study for study in ablations.studies() if study.key == "recipe")


def by_key(study: Study) -> dict[str, Change]:
    return {change.key: change for change in study.changes}


def untrained_run(study: Study, change: Change, seed: int, right: int) -> UntrainedRun:
    return UntrainedRun(make_job(study, change, seed).config, right)


def write_log(run: Run, folder: Path, val_accuracies: Sequence[float]) -> None:
    """Give a run a log of its own."""
    path = folder / run.id
    path.mkdir()
    object.__setattr__(run, "path", path)
    row = dict.fromkeys(EpochLog.model_fields, 0) | {"image_size": 48}
    lines = (
        json.dumps(row | {"epoch": epoch, "val_accuracy": value, "seconds": 10 * epoch})
        for epoch, value in enumerate(val_accuracies, start=1)
    )
    (path / "log.jsonl").write_text("".join(f"{line}\n" for line in lines))
