"""Record the files that could not be used, or were not read, while a dataset is added."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from fercore.data.readers.archives import Member, walk
from fercore.data.reports import OnProgress
from fercore.errors import UserError
from fercore.io.file_names import storable_name

_MAX_NAMED = 10


@dataclass
class IntakeLog:
    """Counts images and collects bad files, so that all of them are reported in one message.

    Attributes:
        skip_bad: leave bad files out instead of raising.
        on_progress: called with the number of images read.
        read: number of images that were read.
        bad: number of files, or rows of tables, that cannot be used.
        messages: the reasons for the first of them.
        passed_over: number of files of other kinds, by suffix, and of links.
        others: notes on what else was left out, one line each.
    """

    skip_bad: bool = False
    on_progress: OnProgress | None = None
    read: int = 0
    bad: int = 0
    messages: list[str] = field(default_factory=list)
    passed_over: Counter[str] = field(default_factory=Counter)
    others: list[str] = field(default_factory=list)

    @contextmanager
    def count_image(self) -> Iterator[None]:
        """Count one image, or one bad file if reading it raises a `UserError`."""
        try:
            yield
        except UserError as error:
            self.reject(str(error))
        else:
            self.read += 1
            if self.on_progress and self.read % 128 == 0:
                self.on_progress(self.read, None)

    def reject(self, message: str) -> None:
        """Count a bad file."""
        self.bad += 1
        if self.bad <= _MAX_NAMED:
            self.messages.append(message)

    def reject_read(self, message: str) -> None:
        """Count an image that was already counted as read as a bad file."""
        self.read -= 1
        self.reject(message)

    def walk(self, paths: Sequence[Path], suffixes: tuple[str, ...]) -> Iterator[Member]:
        """Iterate over the files with one of these suffixes under paths; count the others.

        Args:
            paths: folders, archives or tables, see `fercore.data.readers.archives.walk`.
            suffixes: in lower case, with their dot.

        Raises:
            UserError: if a path is missing, damaged or of an unknown kind.
        """
        for path in paths:
            for member in walk(path, self.passed_over):
                if member.has_suffix(suffixes):
                    yield member
                else:
                    self.pass_over(member)

    def pass_over(self, member: Member) -> None:
        """Count a file of a kind that is not read."""
        self.passed_over[PurePosixPath(member.name).suffix.lower()] += 1

    def left_out(self, what: str) -> None:
        """Add a note on something else that was left out."""
        self.others.append(f"left out: {what}")

    def notes(self) -> tuple[str, ...]:
        """Return notes on the files that were left out.

        Raises:
            UserError: if there are bad files, and `skip_bad` is false or no image was read.
        """
        if self.bad and not (self.skip_bad and self.read):
            if self.bad == 1:
                raise UserError(f"{self.messages[0]}; leave it out with --skip-bad")
            raise UserError(f"{self._describe_bad()}; leave them out with --skip-bad")
        notes = [f"left out: {self._describe_bad()}"] if self.bad else []
        notes += self.others
        if self.passed_over.total():
            notes.append(describe_passed_over(self.passed_over))
        return tuple(notes)

    def _describe_bad(self) -> str:
        count = f"{self.bad:,} of {self.bad + self.read:,} images cannot be used: "
        more = self.bad - len(self.messages)
        return count + "; ".join(self.messages) + (f"; and {more:,} more" if more else "")


def describe_passed_over(suffixes: Counter[str]) -> str:
    """Return one line on the files that were not read, with the most frequent suffixes."""
    suffixes = +suffixes
    named = [
        f"{count:,} {storable_name(suffix)[:16] or 'without a suffix'}"
        for suffix, count in suffixes.most_common(_MAX_NAMED)
    ]
    more = len(suffixes) - len(named)
    if more:
        named.append(f"{more:,} other kinds")
    total = suffixes.total()
    return f"passed over {total:,} file{'s' if total > 1 else ''}: {', '.join(named)}"
