"""The faces of a photo as HTML: boxes on the photo, the summary table, and a card for each face."""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dashboard import formats
from dashboard.app_pages.photo.saliency import SALIENCY_METHODS, heatmap_url
from dashboard.app_pages.photo.view import View
from dashboard.charts import theme
from dashboard.charts.data_urls import png_data_url
from dashboard.components import plot, probability_bars
from fercore.faces.geometry import Face
from fercore.inference.predictor import Prediction

# Number of faces above which their numbers are drawn small, as they would cover the faces.
_CROWD = 30
# Side of a box, as a fraction of the photo's width, below which its label is the number alone.
_MIN_LABELLED = 0.07


@dataclass(frozen=True)
class Picture:
    """A reduced copy of a photo.

    Attributes:
        address: data URL of a JPEG.
        width: of the decoded photo in pixels, to which the boxes refer.
        height: likewise.
    """

    address: str
    width: int
    height: int


def boxed_photo(picture: Picture, predictions: Sequence[Prediction], view: View, name: str) -> str:
    """Return a photo with a box around each face, in the colour of the first network's class.

    Args:
        picture: of the photo.
        predictions: of its faces, in the order of their numbers.
        view: the visitor's selection.
        name: of the photo.
    """
    boxes = "".join(
        _box(number, prediction, picture, view, len(predictions) > _CROWD)
        for number, prediction in enumerate(predictions, start=1)
    )
    count = f"{len(predictions)} faces" if len(predictions) != 1 else "1 face"
    alt = html.escape(f"{name} with {count} in boxes")
    image = f'<img src="{picture.address}" alt="{alt}" style="width:100%;display:block">'
    # As wide as its column, unless it would be higher than the window.
    max_width = f"max-width:calc((100vh - 9rem) * {picture.width / picture.height:.3f})"
    return (
        '<div class="photo" style="position:relative;overflow:hidden;border-radius:.5rem;'
        f'container-type:inline-size;{max_width}">{image}{boxes}</div>'
    )


def summary(
    numbered: Sequence[tuple[int, Prediction]], view: View, labels: Mapping[str, str]
) -> str:
    """Return a table with one row per face and one column per network.

    Args:
        numbered: the faces with their numbers.
        view: the visitor's selection.
        labels: of the networks by run id.
    """
    cell = 'style="padding:.25rem .6rem;text-align:left;vertical-align:top"'
    head = "".join(
        f'<th scope="col" style="padding:.25rem .6rem;text-align:left;font-weight:600;'
        f'overflow-wrap:anywhere">{html.escape(labels[run_id])}</th>'
        for run_id in view.runs
    )
    rows = []
    for number, prediction in numbered:
        cells = "".join(
            f"<td {cell}>{_summary_cell(prediction, run, view)}</td>" for run in view.runs
        )
        if len(view.runs) > 1:
            remark = "" if prediction.is_unanimous else probability_bars.chip("models disagree")
            cells += f"<td {cell}>{remark}</td>"
        rows.append(
            '<tr style="border-top:1px solid color-mix(in srgb,currentColor 15%,transparent)">'
            f'<th scope="row" {cell}>{number}</th>{cells}</tr>'
        )
    last = '<th scope="col"><span aria-label="Agreement"></span></th>' if len(view.runs) > 1 else ""
    return (
        '<table class="face-summary" aria-label="Prediction of each model for each face" '
        'style="width:100%;border-collapse:collapse;font-size:.85rem;line-height:1.35">'
        f'<thead><tr><th scope="col" {cell}>Face</th>{head}{last}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def face_cards(
    numbered: Sequence[tuple[int, Prediction]], view: View, labels: Mapping[str, str]
) -> str:
    """Return the cards of faces in a grid of up to two columns; the arguments are of `summary`."""
    cards = "".join(_face_card(number, prediction, view, labels) for number, prediction in numbered)
    return (
        '<div style="display:grid;gap:.7rem;'
        f'grid-template-columns:repeat(auto-fill,minmax(min(100%,215px),1fr))">{cards}</div>'
    )


def _box(number: int, prediction: Prediction, picture: Picture, view: View, in_crowd: bool) -> str:
    face, width, height = prediction.face, picture.width, picture.height
    run_id = next(iter(view.runs))
    name, probability = prediction.top(run_id)
    colors = theme.class_colors(list(prediction.class_names[run_id]), plot.theme_mode())
    color, is_confident = colors[name], probability >= view.min_confidence
    text = f"{number} {name} {formats.percent(probability, 0)}"
    title = f"Face {number}: " + probability_bars.prediction_text(name, probability, is_confident)
    if in_crowd or face.side < _MIN_LABELLED * width:
        text = str(number)
    size = "clamp(.45rem,1.6cqw,.6rem)" if in_crowd else "clamp(.55rem,2.4cqw,.85rem)"
    style = "solid" if is_confident else "dashed"
    return (
        f'<div title="{html.escape(title)}" style="position:absolute;'
        f"left:{100 * face.left / width:.2f}%;top:{100 * face.top / height:.2f}%;"
        f"width:{100 * face.side / width:.2f}%;aspect-ratio:1;"
        f"transform:rotate({face.angle:.3f}rad);border:2px {style} {color};border-radius:3px;"
        'box-shadow:0 0 0 1px rgba(0,0,0,.45)">'
        f'<span style="position:absolute;{_label_place(face, picture)}background:{color};'
        f"color:{theme.ink_on(color)};font-size:{size};line-height:1.4;padding:0 .4em;"
        f'border-radius:3px;white-space:nowrap;font-weight:600">{html.escape(text)}</span></div>'
    )


def _label_place(face: Face, picture: Picture) -> str:
    """Return where a label is put: above the box, or inside it at the top edge of the photo."""
    vertical = "top:0;" if face.top < 0.06 * picture.height else "bottom:100%;"
    # Near the right edge of the photo a label extends to the left.
    is_right = face.left + face.side / 2 > 0.75 * picture.width
    return vertical + ("right:-2px;" if is_right else "left:-2px;")


def _summary_cell(prediction: Prediction, run_id: str, view: View) -> str:
    name, probability = prediction.top(run_id)
    colors = theme.class_colors(list(prediction.class_names[run_id]), plot.theme_mode())
    text = probability_bars.prediction_text(name, probability, probability >= view.min_confidence)
    return (
        '<span style="display:inline-block;width:.65em;height:.65em;border-radius:50%;'
        f'background:{colors[name]};margin-right:.4em"></span>{html.escape(text)}'
    )


def _face_card(number: int, prediction: Prediction, view: View, labels: Mapping[str, str]) -> str:
    """Return a face: its crop, its saliency maps and each network's probabilities."""
    first = next(iter(view.runs))
    crop = png_data_url(prediction.crops[first])
    figures = _figure(crop, "Model input", f"Model input of face {number}")
    for run_id in view.explained:
        method, name = SALIENCY_METHODS[view.saliency_method], prediction.top(run_id)[0]
        text = f"{method}, {labels[run_id]}, class {name}"
        figures += _figure(heatmap_url(prediction, run_id, view), text, f"{text}, face {number}")
    bars = "".join(
        probability_bars.bars(
            labels[run_id],
            prediction.class_names[run_id],
            prediction.probabilities[run_id],
            prediction.top(run_id)[0],
            prediction.label(run_id, view.min_confidence) is not None,
        )
        for run_id in view.runs
    )
    disagreement = "" if prediction.is_unanimous else probability_bars.chip("models disagree")
    return (
        '<section class="face" style="border:1px solid color-mix(in srgb,currentColor 18%,'
        'transparent);border-radius:.5rem;padding:.7rem .8rem;min-width:0">'
        f'<div style="font-weight:600;margin-bottom:.3rem">Face {number} {disagreement}</div>'
        f'<div style="display:flex;flex-wrap:wrap;gap:.5rem;margin-bottom:.4rem">{figures}</div>'
        f"{bars}</section>"
    )


def _figure(address: str, caption: str, alt: str) -> str:
    return (
        f'<figure style="margin:0;width:88px"><img src="{address}" alt="{html.escape(alt)}" '
        'style="width:88px;aspect-ratio:1;image-rendering:pixelated;border-radius:.4rem;'
        'display:block"><figcaption style="font-size:.72rem;opacity:.75;line-height:1.3;'
        f'overflow-wrap:anywhere">{html.escape(caption)}</figcaption></figure>'
    )
