"""What a run says of the code that made it."""

import subprocess
from pathlib import Path

import pytest

from fercore import provenance
from fercore.data.splits import Splits
from fercore.protocol import plan
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
        protocol = plan(tiny_config(), splits)
        words = {"backend": "none", "device": "none", "precision": "float32"}
        return provenance.describe("it", splits, protocol, **words).commit

    package = tmp_path / "fercore"
    (package / "models").mkdir(parents=True)
    (package / "provenance.py").write_text("")
    monkeypatch.setattr(provenance, "__file__", str(package / "provenance.py"))
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
