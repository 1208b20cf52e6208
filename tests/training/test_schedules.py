import math

import pytest

from fercore.config.training import EarlyStoppingConfig
from fercore.runs.schema import EpochLog
from fercore.training import schedules
from tests.tiny import tiny_config


def log(*val_losses, accuracies=None):
    accuracies = accuracies or [0.5] * len(val_losses)
    return [
        EpochLog(
            epoch=number,
            loss=1.0,
            accuracy=0.5,
            val_loss=loss,
            val_accuracy=accuracy,
            learning_rate=1e-3,
            seconds=1.0,
            val_seconds=1.0,
            images_per_second=1.0,
            elapsed=1.0,
        )
        for number, (loss, accuracy) in enumerate(zip(val_losses, accuracies, strict=True), 1)
    ]


def test_constant():
    assert schedules.learning_rate(tiny_config(), log(1, 2, 3)) == 1e-3


def test_warmup_rises_to_the_highest_rate():
    config = tiny_config(schedule={"warmup_epochs": 3}, epochs=10)
    rates = [schedules.learning_rate(config, log(*[1.0] * done)) for done in range(5)]
    assert rates == pytest.approx([0.25e-3, 0.5e-3, 0.75e-3, 1e-3, 1e-3])


def test_cosine_starts_at_the_highest_and_halves_midway():
    config = tiny_config(schedule={"kind": "cosine", "minimum": 1e-4}, epochs=10)
    assert schedules.learning_rate(config, []) == pytest.approx(1e-3)
    assert schedules.learning_rate(config, log(*[1.0] * 5)) == pytest.approx(5.5e-4)
    last = 1e-4 + 9e-4 * (1 + math.cos(0.9 * math.pi)) / 2
    assert schedules.learning_rate(config, log(*[1.0] * 9)) == pytest.approx(last)


def test_plateau_cuts_after_patience_and_keeps_its_floor():
    config = tiny_config(
        schedule={"kind": "plateau", "factor": 0.1, "patience": 2, "minimum": 2e-5}, epochs=99
    )
    rate = [
        schedules.learning_rate(config, log(*losses))
        for losses in _prefixes([3.0, 2.0, 2.0, 2.5, 1.0, 1.0, 1.0, 1.0, 1.0])
    ]
    assert rate == pytest.approx([1e-3] * 4 + [1e-4] * 3 + [2e-5] * 3)


def _prefixes(values):
    return [values[:stop] for stop in range(len(values) + 1)]


def test_early_stopping_counts_from_the_best_epoch():
    config = EarlyStoppingConfig(monitor="val_loss", patience=2)
    assert not schedules.should_stop(config, [])
    assert not schedules.should_stop(config, log(3, 2, 2.5))
    assert schedules.should_stop(config, log(3, 2, 2.5, 2.1))
    assert not schedules.should_stop(EarlyStoppingConfig(patience=0), log(1, 2, 3, 4))


def test_early_stopping_on_accuracy_wants_it_high():
    config = EarlyStoppingConfig(monitor="val_accuracy", patience=1)
    assert not schedules.should_stop(config, log(1, 1, accuracies=[0.5, 0.6]))
    assert schedules.should_stop(config, log(1, 1, accuracies=[0.6, 0.5]))


def test_the_earlier_of_two_equal_epochs_is_kept():
    assert schedules.best_epoch(log(1, 1, 1, accuracies=[0.5, 0.6, 0.6])).epoch == 2


def test_only_epochs_at_full_size_can_be_the_best_once_there_is_one():
    rows = log(1, 1, 1, 1, accuracies=[0.5, 0.9, 0.6, 0.7])
    sized = [
        row.model_copy(update={"image_size": size})
        for row, size in zip(rows, [32, 32, 48, 48], strict=True)
    ]
    assert schedules.best_epoch(sized).epoch == 4
    assert schedules.best_epoch(sized[:2]).epoch == 2
    assert schedules.best_epoch(rows).epoch == 2


@pytest.mark.parametrize(
    ("epochs", "fraction", "small"), [(10, 0.6, 6), (100, 0.55, 55), (3, 0.5, 1), (2, 0.1, 0)]
)
def test_progressive_resizing_begins_with_its_share_of_small_epochs(epochs, fraction, small):
    config = tiny_config(epochs=epochs, progressive_resizing={"size": 16, "fraction": fraction})
    sizes = [schedules.image_size(config, epoch, 24) for epoch in range(1, epochs + 1)]
    assert sizes == [16] * small + [24] * (epochs - small)
    assert schedules.image_size(tiny_config(), 1, 24) == 24
    costs = [(size / 24) ** 2 for size in sizes]
    assert schedules.epoch_costs(config, 24) == pytest.approx(costs)
