"""Emotion names, and each dataset's own label set in its own order."""

import re
import unicodedata
from collections.abc import Sequence

from fercore.errors import UserError

# The order of `fer2013.csv`: label 0 is angry, 6 is neutral.
FER2013 = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")

CKPLUS = ("angry", "contempt", "disgust", "fear", "happy", "sad", "surprise")
LFW_EMOTION = ("angry", "contempt", "disgust", "fear", "happy", "neutral", "sad", "surprise")

# Folder names, column names and labels of other programs that mean one of these emotions.
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
# Codes of JAFFE, KDEF and IEMOCAP: too short to rename a user's folder by them.
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
# Outputs of networks and tables that are no emotion: `unknown` and `NF` are FER+'s.
NOT_EMOTIONS = (
    *("unknown", "nf", "none", "other", "others", "uncertain"),
    *("not_a_face", "not a face", "no_face", "no face"),
)


def canonical(name: str) -> str:
    """The spelling this package uses for an emotion: `"Happiness "` becomes `"happy"`."""
    lowered = name.strip().lower()
    return SYNONYMS.get(re.sub(r"[\s_-]+", "_", lowered), lowered)


def match_class(name: str, class_names: Sequence[str]) -> str | None:
    """Return the class of a label set that a name means; `None` if it holds none.

    A class of exactly that name comes first, then one of the same meaning, then one that a short
    code stands for: `"ANG"` is `"angry"`.
    """
    exact = {_plain(own): own for own in reversed(class_names)}
    by_meaning = {canonical(own): own for own in reversed(class_names)}
    meaning = canonical(name)
    return (
        exact.get(_plain(name)) or by_meaning.get(meaning) or by_meaning.get(CODES.get(meaning, ""))
    )


def _plain(name: str) -> str:
    folded = unicodedata.normalize("NFKC", name).strip().casefold()
    return re.sub(r"[\s_-]+", " ", folded)


def index_of(name: str, class_names: Sequence[str]) -> int:
    """The position of an emotion in a label set.

    Raises:
        UserError: if the label set does not hold it.
    """
    wanted = canonical(name)
    if wanted not in class_names:
        raise UserError(f"received the class {name!r}, expected one of: {', '.join(class_names)}")
    return list(class_names).index(wanted)
