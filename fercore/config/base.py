"""The base class of every frozen model that is read from a file."""

from pydantic import BaseModel, ConfigDict


class FrozenModel(BaseModel):
    """Immutable; refuses unknown fields and numbers that are not finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
