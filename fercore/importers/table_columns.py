"""Detect the role of each column of a prediction table: ids, true or predicted labels, scores."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from fercore.data.labels import CODES, FER2013, NOT_EMOTIONS, canonical, match_class
from fercore.errors import UserError
from fercore.io.file_names import quoted

# A column of ids has a name of these words only.
_ID = {
    *("id", "ids", "sample", "uid", "key", "name", "file", "filename", "filepath", "path"),
    *("image", "imagename", "imagepath", "img", "imgname", "imgpath", "photo", "picture"),
}
# Row numbers that many programs write; they are ids only if there is no other column of ids.
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
# Words of a column with a class, which may be the true or the predicted one.
_CLASS = {"label", "labels", "emotion", "emotions", "class", "category", "expression"}
_PLAIN = {"id", "idx", "index", "name", "y", "text", "number"}
_SCORE = {
    *("p", "prob", "probs", "proba", "probability", "probabilities", "score", "scores"),
    *("confidence", "conf", "share", "percent", "logit", "logits", "softmax"),
}
# Words of numbered columns that are not classes; `unnamed` is written by pandas.
_FEATURE = {
    *("f", "feat", "feats", "feature", "features", "emb", "embedding", "embeddings", "latent"),
    *("dim", "pixel", "pixels", "pix", "px", "pc", "pca", "tsne", "umap", "landmark", "au", "fold"),
    *("unnamed", "seed", "epoch", "bbox", "box"),
}
# Words beside a class name in columns of one-hot labels.
_ONE_HOT = _TRUE | {"label", "labels", "onehot", "hot", "is", "y"}


@dataclass
class Roles:
    """The columns of a table by role, as indices.

    Attributes:
        ids: columns that may have the ids of the samples.
        counters: columns that may number the rows.
        true: columns with the true class.
        predicted: columns with the predicted class.
        true_or_predicted: columns with the true or the predicted class; their content decides.
        scores: column of each class of the dataset.
        extra: columns of classes that the dataset does not have, by name.
        one_hot: column of each class in one-hot true labels.
        has_numbered_classes: whether the classes are numbers in the order of the dataset.
        usage: column that names the split of each row.
        run: column that names the run, as `fercore predict --csv` writes it.
    """

    ids: list[int] = field(default_factory=list)
    counters: list[int] = field(default_factory=list)
    true: list[int] = field(default_factory=list)
    predicted: list[int] = field(default_factory=list)
    true_or_predicted: list[int] = field(default_factory=list)
    scores: dict[str, int] = field(default_factory=dict)
    extra: dict[str, int] = field(default_factory=dict)
    one_hot: dict[str, int] = field(default_factory=dict)
    has_numbered_classes: bool = False
    usage: int | None = None
    run: int | None = None


@dataclass(frozen=True)
class _ClassColumn:
    """A column that belongs to a class; `affix` has the other words of its name."""

    index: int
    class_name: str
    affix: tuple[str, ...]


def find_roles(header: Sequence[str], class_names: Sequence[str], file: str) -> Roles:
    """Detect the role of each column of a table by its name.

    Args:
        header: names of the columns.
        class_names: of the dataset.
        file: name of the table, for messages.

    Raises:
        UserError: if two columns have scores of the same class.
    """
    roles = Roles()
    class_columns: list[_ClassColumn] = []
    for index, name in enumerate(header):
        words = _words(name)
        joined = "".join(words)
        class_column = _match_class_column(index, name, class_names)
        if class_column:
            class_columns.append(class_column)
        elif words and set(words) <= _ID:
            roles.ids.append(index)
        elif joined in _COUNTERS:
            roles.counters.append(index)
        elif joined in {"usage", "split", "subset", "partition"}:
            roles.usage = index
        elif joined in {"run", "runid"}:
            roles.run = index
        elif set(words) & _SCORE:
            pass  # the confidence of a predicted class
        elif set(words) & _PREDICTED:
            roles.predicted.append(index)
        elif set(words) & _TRUE or joined == "y":
            roles.true.append(index)
        elif set(words) & _CLASS and set(words) <= _CLASS | _PLAIN:
            roles.true_or_predicted.append(index)
    _assign_scores(roles, class_columns, header, class_names, file)
    if not roles.scores:
        _assign_numbered_scores(roles, header, class_names, file)
    return roles


def _assign_scores(
    roles: Roles,
    class_columns: Sequence[_ClassColumn],
    header: Sequence[str],
    class_names: Sequence[str],
    file: str,
) -> None:
    """Assign the columns that name a class to scores, one-hot labels or extra classes."""
    affixes: set[tuple[str, ...]] = set()
    for column in (entry for entry in class_columns if entry.class_name in class_names):
        one_hot = bool(set(column.affix) & _ONE_HOT) and not set(column.affix) & _PREDICTED
        columns = roles.one_hot if one_hot else roles.scores
        if column.class_name in columns:
            other = quoted(header[columns[column.class_name]])
            raise UserError(
                f"{file} has two columns for the class {column.class_name}, {other} and "
                f"{quoted(header[column.index])}; expected one column of scores per class: remove "
                f"the other, or name one-hot true labels true_{column.class_name}"
            )
        columns[column.class_name] = column.index
        if not one_hot:
            affixes.add(column.affix)
    # A class that the dataset lacks counts only if its column has the affix of the others.
    for column in (entry for entry in class_columns if entry.class_name not in class_names):
        if column.affix in affixes:
            if column.class_name in roles.extra:
                other = quoted(header[roles.extra[column.class_name]])
                raise UserError(
                    f"{file} has two columns for the class {column.class_name}, {other} and "
                    f"{quoted(header[column.index])}; expected one column of scores per class"
                )
            roles.extra[column.class_name] = column.index


def _assign_numbered_scores(
    roles: Roles, header: Sequence[str], class_names: Sequence[str], file: str
) -> None:
    """Assign columns such as `0` to `6` or `prob_0` to `prob_6`, one for each class, to scores."""
    families: dict[str, dict[int, int]] = {}
    for index, name in enumerate(header):
        match = re.fullmatch(r"([a-z\s_.:\-\[(]*)(\d{1,3})[\])]?", name.strip().lower())
        if not match:
            continue
        family = families.setdefault(" ".join(_words(match.group(1))), {})
        if int(match.group(2)) in family:
            raise UserError(f"{file} has two columns {quoted(name)}; expected one for each class")
        family[int(match.group(2))] = index
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
        indices = set(complete[prefix].values())
        columns = {name: complete[prefix][number] for number, name in enumerate(class_names)}
        for assigned in (roles.true, roles.predicted, roles.true_or_predicted):
            assigned[:] = [index for index in assigned if index not in indices]
        if prefix in truth:
            roles.one_hot = columns
        else:
            roles.scores, roles.has_numbered_classes = columns, True


def _match_class_column(index: int, name: str, class_names: Sequence[str]) -> _ClassColumn | None:
    """Find the class in the name of a column, first one of the dataset, then any other."""
    others = [other for other in (*FER2013, "contempt") if match_class(other, class_names) is None]
    label_sets: tuple[Sequence[str], ...] = (class_names, [*others, *NOT_EMOTIONS])
    for names in label_sets:
        match = match_class(name, names)
        if match:
            return _ClassColumn(index, match, ())
    tokens = re.split(r"([\s_.:/\\\-\[\](){}'\"%#|]+|(?<=[a-z])(?=[A-Z]))", name)
    words, gaps = tokens[::2], tokens[1::2]
    if len(words) > _MAX_WORDS:
        return None
    spans = [
        (start, start + size)
        for size in range(len(words), 0, -1)
        for start in range(len(words) - size + 1)
    ]
    for names in label_sets:
        for start, end in spans:
            inner = "".join(
                word + gap
                for word, gap in zip(words[start:end], [*gaps[start : end - 1], ""], strict=True)
            )
            affix = tuple(word.lower() for word in (*words[:start], *words[end:]) if word)
            match = match_class(inner, names) if inner else None
            is_code = canonical(inner) in CODES and canonical(inner) not in names
            if match and not (is_code and not set(affix) & (_SCORE | _PREDICTED | _ONE_HOT)):
                return _ClassColumn(index, match, affix)
    return None


def _words(name: str) -> list[str]:
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return [word for word in re.split(r"[^0-9a-z]+", spaced.lower()) if word]
