"""Train, log and compare small networks for facial-expression recognition."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fercore.inference.predictor import Predictor

__all__ = ["Predictor"]


def __getattr__(name: str) -> Any:
    # On demand: `import fercore.data.labels` is to load nothing else.
    if name == "Predictor":
        from fercore.inference.predictor import Predictor

        return Predictor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
