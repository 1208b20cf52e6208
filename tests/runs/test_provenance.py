"""What a run says of the code that made it."""

import subprocess
from pathlib import Path

import pytest

from fercore.data.splits import Splits
from fercore.evaluation.protocol import build_protocol
from fercore.runs import provenance
from fercore.runs.reader import Run
from fercore.training.time_budget import Device
from tests.tiny import tiny_config


def test_the_commit_is_that_of_the_code_that_runs(
    splits: Splits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def git(*arguments: str) -> str:
        who = ("-c", "user.name=A", "-c", "user.email=a@example.org")
        done = subprocess.run(
            ["git", "-C", str(tmp_path), *who, *arguments],
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    def commit() -> str:
        protocol = build_protocol(tiny_config(), splits)
        words = {"backend": "none", "device": "none", "precision": "float32"}
        return provenance.describe_environment("it", splits, protocol, **words).commit

    package = tmp_path / "fercore"
    (package / "runs").mkdir(parents=True)
    (package / "models").mkdir()
    (package / "runs" / "provenance.py").write_text("")
    monkeypatch.setattr(provenance, "__file__", str(package / "runs" / "provenance.py"))
    assert commit() == ""
    # Installed inside somebody's repository, whose commit says nothing of it.
    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "Theirs")
    assert commit() == ""
    git("add", "fercore")
    git("commit", "-q", "-m", "Ours")
    assert commit() == git("rev-parse", "HEAD")
    (tmp_path / "README.md").write_text("edited")
    assert commit() == git("rev-parse", "HEAD")
    (package / "models" / "mine.py").write_text("def build(): ...")
    assert commit() == git("rev-parse", "HEAD") + "+changes"


def environment(splits: Splits, command: str = "fercore train tiny", **changes: object):
    words = {"backend": "tensorflow", "device": "CPU A", "precision": "mixed_bfloat16"} | changes
    return provenance.describe_environment(
        command, splits, build_protocol(tiny_config(), splits), **words
    )


def test_a_run_names_every_session_that_trained_it(splits: Splits):
    first = provenance.add_session(None, environment(splits), first_epoch=1)
    assert provenance.session_summary(first) == provenance.last_change(first) == ""
    there = environment(splits, "fercore train --resume X", device="CPU B", precision="float32")
    both = provenance.add_session(first, there, first_epoch=4)
    assert both.command == "fercore train tiny"
    assert [own.command for own in both.sessions] == [first.command, there.command]
    assert [own.first_epoch for own in both.sessions] == [1, 4]
    assert both.devices == ("CPU A", "CPU B")
    changed = "device (CPU A → CPU B), precision (mixed_bfloat16 → float32)"
    assert provenance.last_change(both) == changed
    assert provenance.session_summary(both) == (
        f"trained in 2 sessions on 2 machines; from epoch 4: {changed}"
    )
    assert type(both).model_validate_json(both.model_dump_json()) == both


def test_a_session_that_left_no_epoch_is_not_counted(splits: Splits):
    first = provenance.add_session(None, environment(splits), first_epoch=1)
    killed = provenance.add_session(first, environment(splits, device="CPU B"), first_epoch=4)
    again = provenance.add_session(killed, environment(splits, device="CPU C"), first_epoch=4)
    assert again.devices == ("CPU A", "CPU C")
    anew = provenance.add_session(
        first, environment(splits, "fercore train --resume X", device="CPU B"), first_epoch=1
    )
    assert (anew.device, len(anew.sessions)) == ("CPU B", 1)
    assert anew.command == "fercore train tiny"


def test_a_run_of_an_earlier_version_keeps_its_first_session(splits: Splits):
    known = environment(splits)
    assert known.sessions == ()
    both = provenance.add_session(known, environment(splits, backend="jax"), first_epoch=3)
    assert [own.backend for own in both.sessions] == ["tensorflow", "jax"]
    assert provenance.last_change(both) == "backend (tensorflow → jax)"
    assert "in 2 sessions on 1 machine;" in provenance.session_summary(both)


def test_a_duration_on_two_devices_is_none_of_either(splits: Splits, tmp_path: Path):
    first = provenance.add_session(None, environment(splits), first_epoch=1)
    both = provenance.add_session(first, environment(splits, device="CPU B"), first_epoch=2)
    device = Device(frozenset({"CPU A"}), "tensorflow", first.cores)
    one, other = (
        Run(tmp_path, "finished", tiny_config(), environment=known) for known in (first, both)
    )
    assert device.has_trained(one)
    assert not device.has_trained(other)


@pytest.mark.parametrize(
    ("command", "recorded"),
    [
        ("fercore train --resume /work/a/tiny-s0", "fercore train --resume tiny-s0"),
        ("fercore train '/home/a b/own.toml' --epochs 3", "fercore train own.toml --epochs 3"),
        ("fercore train tiny --init_from=/r/x-s0", "fercore train tiny --init_from=x-s0"),
        (
            """fercore train tiny --distillation.teachers '["/r/x-s0", "/r/y-s0"]'""",
            """fercore train tiny --distillation.teachers '["x-s0", "y-s0"]'""",
        ),
        ("fercore train /r/tiny-s0/config.json", "fercore train tiny-s0/config.json"),
        ("fercore train configs/own.toml", "fercore train configs/own.toml"),
        ("fercore train ../own.toml ~/own.toml", "fercore train ../own.toml ~/own.toml"),
        ("fercore runs push s3://bucket/runs/x", "fercore runs push s3://bucket/runs/x"),
        ("fercore train tiny --title 'A / B'", "fercore train tiny --title 'A / B'"),
        ("a text with an open ' quote /a/b", "a text with an open ' quote /a/b"),
    ],
)
def test_a_recorded_command_names_no_folder_of_the_machine(command: str, recorded: str):
    assert provenance.remove_local_folders(command) == recorded


def test_an_environment_records_the_command_without_folders(splits: Splits):
    environment = provenance.describe_environment(
        "fercore train --resume /work/a/tiny-s0",
        splits,
        build_protocol(tiny_config(), splits),
        backend="numpy",
        device="a processor",
        precision="float32",
    )
    assert environment.command == "fercore train --resume tiny-s0"
