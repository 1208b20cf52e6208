"""Devices."""

import pytest

pytestmark = pytest.mark.keras


def test_an_unused_gpu_is_detected(monkeypatch):
    from fercore import machine
    from fercore.training import device

    monkeypatch.setattr(device, "has_gpu", lambda: False)
    monkeypatch.setattr(machine, "has_nvidia_gpu", lambda: True)
    assert device.has_unused_gpu()
    monkeypatch.setattr(machine, "has_nvidia_gpu", lambda: False)
    assert not device.has_unused_gpu()
    monkeypatch.setattr(device, "has_gpu", lambda: True)
    monkeypatch.setattr(machine, "has_nvidia_gpu", lambda: True)
    assert not device.has_unused_gpu()
