"""The Webcam page, without a browser."""

import json
import shutil
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.app_pages.live import video_section
from fercore.runs.reader import Run
from tests.dashboard.pages import APP, RUNS


def test_live_says_what_is_wrong_with_yunet(
    root: Path, runs: dict[str, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "yunet.onnx").write_bytes(b"truncated")
    monkeypatch.setenv("FERCORE_YUNET", str(tmp_path / "yunet.onnx"))
    network = next(RUNS.glob("katkar2021-model2-original-s0-*")) / "model.onnx"
    run = runs["katkar2021-model1-original"]
    shutil.copyfile(network, run.path / "model.onnx")
    results = json.loads((run.path / "results.json").read_bytes())
    results["onnx"] = json.loads((network.parent / "results.json").read_bytes())["onnx"]
    (run.path / "results.json").write_text(json.dumps(results))
    app = AppTest.from_file(APP, default_timeout=30)
    app.switch_page("app_pages/live/live.py")
    app.query_params["networks"] = [run.id]
    app.run()
    assert not app.exception
    (error,) = (element.value for element in app.error)
    assert "cannot be loaded as YuNet" in error


def test_turn_servers_carry_their_secret(monkeypatch: pytest.MonkeyPatch):
    assert video_section.ice_servers() == []
    named = "stun:one.example:3478, turn:two.example?transport=udp|ann|s3cret,"
    monkeypatch.setenv("FERCORE_ICE_SERVERS", named)
    assert video_section.ice_servers() == [
        {"urls": "stun:one.example:3478"},
        {"urls": "turn:two.example?transport=udp", "username": "ann", "credential": "s3cret"},
    ]
