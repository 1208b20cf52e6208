"""What could not be used of the files that a user added, and what was not looked at."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from fercore.data.readers.archives import Member
from fercore.data.reports import OnProgress
from fercore.errors import UserError
from fercore.io.file_names import storable_name

_MAX_NAMED = 10


@dataclass
class IntakeLog:
    """Collects bad files, so that all of them are named at once.

    Attributes:
        skip_bad: leave bad files out instead of refusing all.
        on_progress: called with images read.
        read: images that were read.
        bad: files, or rows of tables, that cannot be used.
        messages: why, of the first of them.
        passed_over: files of other kinds, by suffix, and links.
        others: what else was left out, one line each.
    """

    skip_bad: bool = False
    on_progress: OnProgress | None = None
    read: int = 0
    bad: int = 0
    messages: list[str] = field(default_factory=list)
    passed_over: Counter[str] = field(default_factory=Counter)
    others: list[str] = field(default_factory=list)

    @contextmanager
    def one_image(self) -> Iterator[None]:
        """Count what is read inside as one image, or as a bad file."""
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
        """Count an image that was read as a bad file after all."""
        self.read -= 1
        self.reject(message)

    def pass_over(self, member: Member) -> None:
        """Count a file of a kind that is not read."""
        self.passed_over[PurePosixPath(member.name).suffix.lower()] += 1

    def left_out(self, what: str) -> None:
        """Note what else was left out."""
        self.others.append(f"left out: {what}")

    def notes(self) -> tuple[str, ...]:
        """What the user should know of what was left out.

        Raises:
            UserError: if there were bad files, and they are not to be left out or nothing else was
                read.
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
    """One line on files that are not read, by suffix; the most frequent ones are named."""
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
