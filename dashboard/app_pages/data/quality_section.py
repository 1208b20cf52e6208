"""The quality report of the Datasets page: numbers, then the images of one issue."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import streamlit as st

from dashboard.components import column_formats, face_grid, url_widgets
from dashboard.state import dataset_cache
from fercore.data.quality import DuplicateGroup, SampleRef
from fercore.data.splits import Splits

_GROUPS_PER_PAGE = 12
_MAX_DUPLICATES = 3  # images shown of one group


@dataclass(frozen=True)
class Issue:
    """One kind of flaw.

    Attributes:
        title: of the issue.
        meaning: one short sentence.
    """

    title: str
    meaning: str


# The most important one first: it is the one whose images are shown.
ISSUES = {
    "across": Issue(
        "Duplicates across splits (leakage)",
        "Equal images in two splits, such as test and training.",
    ),
    "near": Issue("Near-duplicates train–test", "Test images that nearly equal a training image."),
    "conflicts": Issue("Conflicting labels", "Equal images with different labels."),
    "repeats": Issue("Duplicates within a split", "Equal images in one split."),
    "constant": Issue("Constant images", "Images of one grey level."),
}
_Groups = Sequence[tuple[Sequence[SampleRef], str]]


def quality(splits: Splits) -> None:
    """Draw the number of duplicates and other flaws, and the images of one kind of them."""
    st.subheader("Data quality", anchor=False)
    groups = find_issues(splits)
    if not any(groups.values()):
        st.caption("No duplicates, conflicting labels, near-duplicates or constant images.")
        return
    total = sum(len(part) for part in splits.parts.values())
    columns = {
        "Groups": st.column_config.NumberColumn(
            "Groups", format="localized", help="Sets of images that belong together, such as pairs."
        ),
        "Images": st.column_config.NumberColumn(
            "Images", format="localized", help="Images in these groups, each counted once."
        ),
        "Share": column_formats.percent("Share of images"),
    }
    st.dataframe(
        report(groups, total),
        hide_index=True,
        column_config=columns,
        alt="Number of flawed images by issue",
    )
    titles = {key: issue.title for key, issue in ISSUES.items() if groups[key]}
    kind = url_widgets.segmented_control("Images of", titles, key="flaw")
    pages = -(-len(groups[kind]) // _GROUPS_PER_PAGE)
    number = url_widgets.page(pages, "flaws") if pages > 1 else 1
    first = (number - 1) * _GROUPS_PER_PAGE
    face_grid.image_groups(
        [
            _captioned(splits, group, note)
            for group, note in groups[kind][first : first + _GROUPS_PER_PAGE]
        ]
    )


def find_issues(splits: Splits) -> dict[str, _Groups]:
    """Return groups of images with a note, by the keys of `ISSUES`.

    Groups of equal images of one grey level come last, as their pictures show nothing.
    """
    equal: list[DuplicateGroup] = dataset_cache.inspect(splits.name, "groups")
    near = dataset_cache.inspect(splits.name, "near") if {"train", "test"} <= set(splits) else []
    constant = dataset_cache.inspect(splits.name, "constant")
    empty = set(constant)
    equal = sorted(equal, key=lambda group: group.samples[0] in empty)
    return {
        "across": [(group.samples, "") for group in equal if group.is_across_splits],
        "near": [((pair.sample, pair.match), f"r = {pair.correlation:.4f}") for pair in near],
        "conflicts": [(group.samples, "") for group in equal if group.has_conflicting_labels],
        "repeats": [(group.samples, "") for group in equal if not group.is_across_splits],
        "constant": [((sample,), "") for sample in constant],
    }


def report(groups: Mapping[str, _Groups], total: int) -> pd.DataFrame:
    """Return a table with one row per issue.

    Args:
        groups: by the keys of `ISSUES`.
        total: number of images of the dataset, above 0.

    Returns:
        The columns `Issue`, `Groups`, `Images`, `Share` (percent of the images) and `Meaning`.
    """
    rows = []
    for key, issue in ISSUES.items():
        images = len({sample for group, _ in groups[key] for sample in group})
        rows.append(
            {
                "Issue": issue.title,
                "Groups": len(groups[key]),
                "Images": images,
                "Share": 100 * images / total,
                "Meaning": issue.meaning,
            }
        )
    return pd.DataFrame(rows)


def _captioned(
    splits: Splits, group: Sequence[SampleRef], note: str
) -> tuple[list[face_grid.CaptionedImage], str]:
    """Return the images of a group with captions, and a note.

    One image of each split comes first, then one of each class, so that the flaw is visible.
    """
    captions: dict[SampleRef, str] = {}
    for sample in group:
        name = splits.class_names[splits[sample.role].labels[sample.index]]
        captions[sample] = f"{name}, {splits.title(sample.role)}"
    roles: dict[str, SampleRef] = {}
    kinds: dict[str, SampleRef] = {}
    for sample, caption in captions.items():
        roles.setdefault(sample.role, sample)
        kinds.setdefault(caption, sample)
    ordered = list(dict.fromkeys([*roles.values(), *kinds.values(), *group]))
    entries = [
        (splits[sample.role].images[sample.index], captions[sample])
        for sample in ordered[:_MAX_DUPLICATES]
    ]
    hidden = len(group) - _MAX_DUPLICATES
    more = f"and {hidden} more" if hidden > 0 else ""
    return entries, " ".join(filter(None, (note, more)))
