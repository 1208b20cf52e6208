"""Network architectures: one module per paper or family, found by its file name.

Every module defines `build(input_shape, num_classes, **options) -> keras.Model`. The network takes
grey levels from 0 to 255, `(n, height, width, 1)` float32, scales them itself, and returns logits,
`(n, num_classes)` float32. Losses and calibration need logits; the export adds the softmax. May
import `fercore.errors`. To add a network, add a module with a `build`; no list is to be changed.
"""

import inspect
import pkgutil
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from fercore.errors import UserError

if TYPE_CHECKING:
    import keras


def list_models() -> tuple[str, ...]:
    """Return the names of all networks, sorted."""
    names = (module.name for module in pkgutil.iter_modules(__path__))
    return tuple(sorted(name for name in names if not name.startswith("_")))


def require(name: str) -> None:
    """Check the name of a network, without importing Keras.

    Raises:
        UserError: if there is no network of this name.
    """
    if name not in list_models():
        raise UserError(f"received model = {name!r}, expected one of: {', '.join(list_models())}")


def build(
    name: str,
    input_shape: tuple[int, int, int],
    num_classes: int,
    options: Mapping[str, Any] | None = None,
) -> "keras.Model":
    """Build a network by name, with newly initialized weights.

    Args:
        name: one of `list_models()`.
        input_shape: `(height, width, 1)`.
        num_classes: number of logits.
        options: keyword arguments of the network's `build`.

    Raises:
        UserError: if there is no network of this name, it has no such option or does not accept the
            value, or the images are too small for it.
    """
    require(name)
    builder = import_module(f"{__name__}.{name}").build
    valid = [
        parameter.name
        for parameter in inspect.signature(builder).parameters.values()
        if parameter.kind is parameter.KEYWORD_ONLY
    ]
    for option in options or {}:
        if option not in valid:
            raise UserError(
                f"received model_options.{option}, which {name} does not take; "
                f"expected one of: {', '.join(valid) or 'none'}"
            )
    try:
        network: keras.Model = builder(input_shape, num_classes, **(options or {}))
    except ValueError as error:
        if "output size would be zero or negative" not in str(error):
            raise
        height, width, _ = input_shape
        raise UserError(
            f"received images of {height}x{width}, which are too small for {name}; expected a "
            "larger image.size or progressive_resizing.size"
        ) from None
    return network
