"""Emotion names and their synonyms, and the label sets of the built-in datasets."""

import re
import unicodedata
from collections.abc import Sequence

from fercore.errors import UserError

# The order of `fer2013.csv`: label 0 is angry, 6 is neutral.
FER2013 = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")

CKPLUS = ("angry", "contempt", "disgust", "fear", "happy", "sad", "surprise")
LFW_EMOTION = ("angry", "contempt", "disgust", "fear", "happy", "neutral", "sad", "surprise")

# Synonyms of these emotions in folder names, column names and labels of other programs.
_SPELLINGS = {
    "angry": "anger angriness angryness furious",
    "contempt": "contemptuous contemptful",
    "disgust": "disgusted disgusting disgustful",
    "fear": "fearful fearfulness scared afraid frightened",
    "happy": "happiness joy joyful happily smile smiling",
    "neutral": "natural neutrality neutral_face no_emotion no_expression",
    "sad": "sadness sorrow sorrowful unhappy",
    "surprise": "surprised surprising suprise suprised surprize surprized astonished",
}
SYNONYMS = {word: name for name, words in _SPELLINGS.items() for word in words.split()}
# Codes of JAFFE, KDEF and IEMOCAP. They are too short to be synonyms for a user's folder names.
_CODES = {
    "angry": "an ang",
    "contempt": "con",
    "disgust": "di dis",
    "fear": "fe fea af",
    "happy": "ha hap",
    "neutral": "ne neu",
    "sad": "sa",
    "surprise": "su sur",
}
CODES = {code: name for name, codes in _CODES.items() for code in codes.split()}
# Classes of networks and tables that are not emotions: `unknown` and `NF` are FER+'s.
NOT_EMOTIONS = (
    *("unknown", "nf", "none", "other", "others", "uncertain"),
    *("not_a_face", "not a face", "no_face", "no face"),
)


def canonical(name: str) -> str:
    """Return this package's name of an emotion: `"Happiness "` becomes `"happy"`.

    A name without a synonym is returned in lower case, without surrounding space.
    """
    lowered = name.strip().lower()
    return SYNONYMS.get(re.sub(r"[\s_-]+", "_", lowered), lowered)


def match_class(name: str, class_names: Sequence[str]) -> str | None:
    """Return the class of a label set that a name refers to; `None` if there is none.

    A class of exactly that name takes precedence, then a synonym, then a short code: `"ANG"` is
    `"angry"`.
    """
    by_name = {_fold(label): label for label in reversed(class_names)}
    by_canonical = {canonical(label): label for label in reversed(class_names)}
    canonical_name = canonical(name)
    return (
        by_name.get(_fold(name))
        or by_canonical.get(canonical_name)
        or by_canonical.get(CODES.get(canonical_name, ""))
    )


def _fold(name: str) -> str:
    folded = unicodedata.normalize("NFKC", name).strip().casefold()
    return re.sub(r"[\s_-]+", " ", folded)


def index_of(name: str, class_names: Sequence[str]) -> int:
    """Return the position of an emotion in a label set.

    Raises:
        UserError: if the emotion is not in the label set.
    """
    label = canonical(name)
    if label not in class_names:
        raise UserError(f"received the class {name!r}, expected one of: {', '.join(class_names)}")
    return list(class_names).index(label)
