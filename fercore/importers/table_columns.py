"""What each column of a prediction table holds: ids, true labels, predicted labels, scores."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fercore.data.labels import CODES, FER2013, NOT_EMOTIONS, canonical, match_class
from fercore.errors import UserError
from fercore.io.file_names import quoted

# Every word of a column that names the samples is one of these.
_ID = {
    *("id", "ids", "sample", "uid", "key", "name", "file", "filename", "filepath", "path"),
    *("image", "imagename", "imagepath", "img", "imgname", "imgpath", "photo", "picture"),
}
# Counters that many programs write; they are ids only where nothing else is.
_COUNTERS = ("", "index", "idx", "unnamed0", "rowid", "row", "rownumber")
_PREDICTED = {
    *("pred", "predicted", "prediction", "predictions", "predict", "preds", "yhat", "hat"),
    *("dominant", "guess", "hypothesis", "top1", "argmax", "inferred", "detected", "classified"),
}
_TRUE = {
    *("true", "truth", "gt", "actual", "target", "targets", "ground", "groundtruth", "gold"),
    *("reference", "expected", "annotated", "annotation", "real", "ytrue"),
}
_MAX_WORDS = 12
# Words of a column that holds a class, whose or not.
_CLASS = {"label", "labels", "emotion", "emotions", "class", "category", "expression"}
_PLAIN = {"id", "idx", "index", "name", "y", "text", "number"}
_SCORE = {
    *("p", "prob", "probs", "proba", "probability", "probabilities", "score", "scores"),
    *("confidence", "conf", "share", "percent", "logit", "logits", "softmax"),
}
# What numbered columns of other things than classes are called; `unnamed` is pandas' own.
_FEATURE = {
    *("f", "feat", "feats", "feature", "features", "emb", "embedding", "embeddings", "latent"),
    *("dim", "pixel", "pixels", "pix", "px", "pc", "pca", "tsne", "umap", "landmark", "au", "fold"),
    *("unnamed", "seed", "epoch", "bbox", "box"),
}
# What stands beside a class where the columns are one-hot labels.
_ONE_HOT = _TRUE | {"label", "labels", "onehot", "hot", "is", "y"}


@dataclass
class Roles:
    """Columns of a table by what they hold.

    Attributes:
        ids: candidates for the ids of the samples.
        counters: columns that may number the rows.
        true: hold the true class.
        predicted: hold the predicted class.
        either: hold the true or the predicted class; only their content tells.
        scores: column of each class of the dataset.
        extra: columns of classes that the dataset does not have, by name.
        one_hot: column of each class in one-hot true labels.
        numbered: whether the classes are numbers in the order of the dataset.
        usage: column that names the split of each row.
        run: column that names the run, as `fercore predict --csv` writes it.
    """

    ids: list[int] = field(default_factory=list)
    counters: list[int] = field(default_factory=list)
    true: list[int] = field(default_factory=list)
    predicted: list[int] = field(default_factory=list)
    either: list[int] = field(default_factory=list)
    scores: dict[str, int] = field(default_factory=dict)
    extra: dict[str, int] = field(default_factory=dict)
    one_hot: dict[str, int] = field(default_factory=dict)
    numbered: bool = False
    usage: int | None = None
    run: int | None = None


@dataclass(frozen=True)
class _Scored:
    """A column that belongs to a class; `affix` holds the other words of its name."""

    place: int
    class_name: str
    affix: tuple[str, ...]


def find_roles(header: Sequence[str], class_names: Sequence[str], file: str) -> Roles:
    """Map the columns of a table to what they hold.

    Args:
        header: names of the columns.
        class_names: of the dataset.
        file: name for messages.

    Raises:
        UserError: if two columns hold scores of one class.
    """
    roles = Roles()
    scored: list[_Scored] = []
    for place, name in enumerate(header):
        words = _words(name)
        joined = "".join(words)
        found = _scored_column(place, name, class_names)
        if found:
            scored.append(found)
        elif words and set(words) <= _ID:
            roles.ids.append(place)
        elif joined in _COUNTERS:
            roles.counters.append(place)
        elif joined in {"usage", "split", "subset", "partition"}:
            roles.usage = place
        elif joined in {"run", "runid"}:
            roles.run = place
        elif set(words) & _SCORE:
            pass  # the confidence of a predicted class
        elif set(words) & _PREDICTED:
            roles.predicted.append(place)
        elif set(words) & _TRUE or joined == "y":
            roles.true.append(place)
        elif set(words) & _CLASS and set(words) <= _CLASS | _PLAIN:
            roles.either.append(place)
    _assign_scores(roles, scored, header, class_names, file)
    if not roles.scores:
        _assign_numbered(roles, header, class_names, file)
    return roles


def _assign_scores(
    roles: Roles,
    scored: Sequence[_Scored],
    header: Sequence[str],
    class_names: Sequence[str],
    file: str,
) -> None:
    affixes: set[tuple[str, ...]] = set()
    for column in (entry for entry in scored if entry.class_name in class_names):
        one_hot = bool(set(column.affix) & _ONE_HOT) and not set(column.affix) & _PREDICTED
        columns = roles.one_hot if one_hot else roles.scores
        if column.class_name in columns:
            other = quoted(header[columns[column.class_name]])
            raise UserError(
                f"{file} has two columns for the class {column.class_name}, {other} and "
                f"{quoted(header[column.place])}; expected one column of scores per class: remove "
                f"the other, or name one-hot true labels true_{column.class_name}"
            )
        columns[column.class_name] = column.place
        if not one_hot:
            affixes.add(column.affix)
    # A class that the dataset lacks counts only where its column is named like the others.
    for column in (entry for entry in scored if entry.class_name not in class_names):
        if column.affix in affixes:
            if column.class_name in roles.extra:
                other = quoted(header[roles.extra[column.class_name]])
                raise UserError(
                    f"{file} has two columns for the class {column.class_name}, {other} and "
                    f"{quoted(header[column.place])}; expected one column of scores per class"
                )
            roles.extra[column.class_name] = column.place


def _assign_numbered(
    roles: Roles, header: Sequence[str], class_names: Sequence[str], file: str
) -> None:
    """Take columns such as `0` to `6` or `prob_0` to `prob_6`, one for each class, as scores."""
    families: dict[str, dict[int, int]] = {}
    for place, name in enumerate(header):
        numbered = re.fullmatch(r"([a-z\s_.:\-\[(]*)(\d{1,3})[\])]?", name.strip().lower())
        if not numbered:
            continue
        family = families.setdefault(" ".join(_words(numbered.group(1))), {})
        if int(numbered.group(2)) in family:
            raise UserError(f"{file} has two columns {quoted(name)}; expected one for each class")
        family[int(numbered.group(2))] = place
    complete = {
        prefix: family
        for prefix, family in families.items()
        if sorted(family) == list(range(len(class_names))) and not set(prefix.split()) & _FEATURE
    }
    truth = {p for p in complete if set(p.split()) & _TRUE and not set(p.split()) & _PREDICTED}
    scores = [prefix for prefix in complete if prefix not in truth]
    scores = [p for p in scores if set(p.split()) & (_SCORE | _PREDICTED)] or scores
    if len(scores) > 1:
        one, other = (quoted(header[complete[prefix][0]]) for prefix in scores[:2])
        raise UserError(
            f"{file} has two columns for each class by number, such as {one} and {other}; "
            "expected one column of scores per class: remove the others"
        )
    for prefix in (*truth, *scores):
        places = set(complete[prefix].values())
        columns = {name: complete[prefix][number] for number, name in enumerate(class_names)}
        for held in (roles.true, roles.predicted, roles.either):
            held[:] = [place for place in held if place not in places]
        if prefix in truth:
            roles.one_hot = columns
        else:
            roles.scores, roles.numbered = columns, True


def _scored_column(place: int, name: str, class_names: Sequence[str]) -> _Scored | None:
    others = [own for own in (*FER2013, "contempt") if match_class(own, class_names) is None]
    known: Mapping[str, Sequence[str]] = {
        "dataset": class_names,
        "other": [*others, *NOT_EMOTIONS],
    }
    for names in known.values():
        found = match_class(name, names)
        if found:
            return _Scored(place, found, ())
    pieces = re.split(r"([\s_.:/\\\-\[\](){}'\"%#|]+|(?<=[a-z])(?=[A-Z]))", name)
    words, gaps = pieces[::2], pieces[1::2]
    if len(words) > _MAX_WORDS:
        return None
    spans = [
        (start, start + size)
        for size in range(len(words), 0, -1)
        for start in range(len(words) - size + 1)
    ]
    for names in known.values():
        for start, end in spans:
            inner = "".join(
                word + gap
                for word, gap in zip(words[start:end], [*gaps[start : end - 1], ""], strict=True)
            )
            affix = tuple(word.lower() for word in (*words[:start], *words[end:]) if word)
            found = match_class(inner, names) if inner else None
            is_code = canonical(inner) in CODES and canonical(inner) not in names
            if found and not (is_code and not set(affix) & (_SCORE | _PREDICTED | _ONE_HOT)):
                return _Scored(place, found, affix)
    return None


def _words(name: str) -> list[str]:
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return [word for word in re.split(r"[^0-9a-z]+", spaced.lower()) if word]
