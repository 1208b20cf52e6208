"""Train, log and compare small networks for facial-expression recognition.

The names below are the interface for scripts; `fercore.UserError` is the error that they raise for
a request that cannot be met. `import fercore` loads none of them: each is imported on first use.

Example:
    >>> import fercore
    >>> config = fercore.load_config("synthetic-quick", {"epochs": 1})
    >>> config.dataset, config.epochs
    ('synthetic', 1)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fercore.config.loading import load_config
    from fercore.errors import UserError
    from fercore.evaluation.comparison import compare_runs
    from fercore.inference.predictor import Predictor
    from fercore.inference.run_evaluation import evaluate
    from fercore.runs.api import list_runs, read_run
    from fercore.training.api import train

__all__ = [
    "Predictor",
    "UserError",
    "compare_runs",
    "evaluate",
    "list_runs",
    "load_config",
    "read_run",
    "train",
]

_MODULES = {
    "Predictor": "fercore.inference.predictor",
    "UserError": "fercore.errors",
    "compare_runs": "fercore.evaluation.comparison",
    "evaluate": "fercore.inference.run_evaluation",
    "list_runs": "fercore.runs.api",
    "load_config": "fercore.config.loading",
    "read_run": "fercore.runs.api",
    "train": "fercore.training.api",
}


def __getattr__(name: str) -> Any:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(module), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
