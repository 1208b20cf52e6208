"""Emotion names, and each dataset's own label set in its own order."""

from collections.abc import Sequence

from fercore.errors import UserError

# The order of `fer2013.csv`: label 0 is angry, 6 is neutral.
FER2013 = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")

CKPLUS = ("angry", "contempt", "disgust", "fear", "happy", "sad", "surprise")
LFW_EMOTION = ("angry", "contempt", "disgust", "fear", "happy", "neutral", "sad", "surprise")

# Folder names and API labels that mean one of the emotions above.
SYNONYMS = {
    "anger": "angry",
    "disgusted": "disgust",
    "fearful": "fear",
    "happiness": "happy",
    "sadness": "sad",
    "surprised": "surprise",
}


def canonical(name: str) -> str:
    """The spelling this package uses for an emotion: `"Happiness "` becomes `"happy"`."""
    lowered = name.strip().lower()
    return SYNONYMS.get(lowered, lowered)


def index_of(name: str, class_names: Sequence[str]) -> int:
    """The position of an emotion in a label set.

    Raises:
        UserError: if the label set does not hold it.
    """
    wanted = canonical(name)
    if wanted not in class_names:
        raise UserError(f"received the class {name!r}, expected one of: {', '.join(class_names)}")
    return list(class_names).index(wanted)
