"""Checkpoints on disk."""

import numpy as np
import pytest

from fercore.errors import UserError

pytestmark = pytest.mark.keras


def test_a_damaged_checkpoint_or_one_of_another_network_is_refused(tmp_path):
    from fercore import models
    from fercore.training import checkpoints

    small = models.build("katkar2021", (48, 48, 1), 7)
    large = models.build("le2019", (48, 48, 1), 7)
    path = tmp_path / "weights.npz"
    checkpoints.save(path, small.variables, epoch=5)
    assert checkpoints.load(path, small.variables) == 5
    with pytest.raises(UserError, match="do not fit"):
        checkpoints.load(path, large.variables)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UserError, match="damaged"):
        checkpoints.load(path, small.variables)
    path.write_bytes(b"")
    with pytest.raises(UserError, match="damaged"):
        checkpoints.load(path, small.variables)


def test_a_failed_save_keeps_the_previous_checkpoint(tmp_path, monkeypatch):
    from fercore.training import checkpoints

    old, new = [np.zeros(3, np.float32)], [np.ones(3, np.float32)]
    last = tmp_path / "last.npz"
    checkpoints.save_training(last, old, checkpoints.Weights(0, old), [])
    stored = last.read_bytes()

    def full(file, **arrays):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("numpy.savez", full)
    with pytest.raises(OSError, match="No space"):
        checkpoints.save_training(last, new, checkpoints.Weights(0, new), [])
    assert last.read_bytes() == stored
    assert list(tmp_path.iterdir()) == [last]
