"""Test commands with names that are not UTF-8 or not printable."""

import csv
import io
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from fercore.cli import escape_unprintable, main
from fercore.cli._options import plain_table, print_table, recorded_command
from fercore.io.file_names import storable_name
from tests.hostile import datasets
from tests.photos import film

COMMITTED = Path(__file__).parents[2] / "runs"
RUN = "katkar2021-model2-original-s0-20261121T024609"


@dataclass
class Done:
    returncode: int
    stdout: bytes
    stderr: bytes


def fercore(*words: object, encoding: str) -> Done:
    """Run a command in this process, on a terminal of an encoding that refuses what it lacks."""
    streams = [io.TextIOWrapper(io.BytesIO(), encoding, errors) for errors in ("strict", "strict")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["fercore", *map(str, words)])
        patch.setattr(sys, "stdout", streams[0])
        patch.setattr(sys, "stderr", streams[1])
        with pytest.raises(SystemExit) as ended:
            main()
        for stream in streams:
            stream.flush()
    contents = [stream.buffer.getvalue() for stream in streams]
    return Done(int(ended.value.code or 0), *contents)


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose own name is not UTF-8, with an image of each bad name for two classes."""
    folder = tmp_path_factory.mktemp("names") / os.fsdecode(b"caf\xe9")
    for place, mood in enumerate(("happy", "sad", "\u60b2\u3057\u3044")):
        for number, name in enumerate(datasets.bad_names()):
            path = folder / mood / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(datasets.png(100 * place + number))
    (folder / "happy" / "notes.txt").write_text("hello")
    return folder


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_commands_go_on_whatever_files_are_called(tmp_path: Path, odd: Path, encoding: str):
    root, table = tmp_path / "data", tmp_path / "faces.csv"
    done = fercore("data", "add", "mine", odd, "--new", "--data-root", root, encoding=encoding)
    assert done.returncode == 0, done.stderr
    assert b"passed over 1 file: 1 .txt" in done.stdout
    for command in (
        ("data", "list", "--data-root", root),
        ("evaluate", RUN, "--dataset", "mine", "--data-root", root, "--runs-root", COMMITTED),
    ):
        done = fercore(*command, encoding=encoding)
        assert done.returncode == 0, done.stderr
    options = ("--whole", "--run", RUN, "--runs-root", COMMITTED)
    for more in (("--csv", table), ("--json",), ()):
        done = fercore("predict", odd, *options, *more, encoding=encoding)
        assert done.returncode == 0, done.stderr
        assert b"passed over 1 file: 1 .txt" in done.stderr
        if more == ("--json",):
            assert len(json.loads(done.stdout)) == 3 * len(datasets.bad_names())
    rows = list(csv.DictReader(io.StringIO(table.read_text("utf-8"), newline="")))
    names = {storable_name(name) for name in datasets.bad_names()}
    assert {row["file"].rpartition("/")[2] for row in rows} == names
    assert "caf\\udce9" in rows[0]["file"]


def test_messages_about_odd_names_are_one_line(tmp_path: Path, odd: Path):
    bad = odd.parent / os.fsdecode(b"tor\xffn\n.png")
    bad.write_bytes(b"no image")
    for words in (
        ("predict", bad, "--run", RUN, "--runs-root", COMMITTED),
        ("predict", odd / "absent\n\x1b[2J", "--run", RUN, "--runs-root", COMMITTED),
        ("data", "add", "mine", bad, "--new", "--data-root", tmp_path),
        ("evaluate", bad, "--runs-root", COMMITTED),
    ):
        done = fercore(*words, encoding="ascii")
        assert done.returncode in (1, 2)
        (line,) = (one for one in done.stderr.splitlines() if one.startswith(b"fercore: "))
        assert b"a defect" not in line
        assert b"\x1b" not in line


def test_a_film_of_an_odd_name_is_read(tmp_path: Path):
    plain = film(tmp_path / "film.mp4", frames=2)
    path = plain.rename(tmp_path / os.fsdecode(b"film\xe9.mp4"))
    done = fercore(
        *("predict", path, "--whole", "--run", RUN, "--runs-root", COMMITTED), encoding="ascii"
    )
    assert done.returncode == 0, done.stderr
    assert b"2 faces in 1 files" in done.stdout


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_what_the_terminal_lacks_is_written_out(monkeypatch: pytest.MonkeyPatch, encoding: str):
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, io.TextIOWrapper(io.BytesIO(), encoding, "strict"))
    escape_unprintable()
    print("caf\udce9 \u9ad8", file=sys.stdout, flush=True)
    assert b"caf\\udce9 " in sys.stdout.buffer.getvalue()


def test_tables_print_names_as_they_are(capsys: pytest.CaptureFixture[str]):
    table = plain_table("name")
    names = ["[red]markup[/blue]", ":smile:", "[/]"]
    for name in names:
        table.add_row(name)
    print_table(table)
    assert [line.strip() for line in capsys.readouterr().out.splitlines()[1:]] == names


def test_the_command_that_a_run_records_can_be_stored(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "argv", ["fercore", "train", os.fsdecode(b"caf\xe9.toml")])
    assert recorded_command().encode() == b"fercore train 'caf\\udce9.toml'"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (os.fsdecode(b"caf\xe9"), "caf\\udce9"),
        ("a\nb\tc\x7f", "a\\x0ab\\x09c\\x7f"),
        ("\x1b[31m", "\\x1b[31m"),
        ("\u202egpj", "\\u202egpj"),
        ("\u60b2\u3057\u3044 caf\u00e9 \U0001f600", "\u60b2\u3057\u3044 caf\u00e9 \U0001f600"),
        ("\u0645\u06cc\u200c\u062e", "\u0645\u06cc\u200c\u062e"),
    ],
)
def test_names_are_written_so_that_they_can_be_stored(name: str, shown: str):
    assert storable_name(name) == shown
    assert storable_name(shown) == shown
    shown.encode()
