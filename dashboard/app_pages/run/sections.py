"""The sections of the Run page."""

import streamlit as st

from dashboard import formats
from dashboard.analysis import paper_comparison, run_properties, training_progress
from dashboard.charts import accuracy_charts, class_charts, confusion_matrix, dataset_charts, theme
from dashboard.components import (
    badges,
    column_formats,
    confusion_scale,
    expander,
    export_menu,
    face_grid,
    page_links,
    plot,
    reliability,
    tile,
    training_curves,
    url_widgets,
)
from dashboard.components.face_grid import SampleCard
from dashboard.reports import builder
from dashboard.state import comparison_cache, run_cache
from dashboard.tables import run_details_tables
from fercore.config.run import Combination, CombinedConfig
from fercore.evaluation.paired_runs import select_samples
from fercore.runs.reader import Run
from fercore.runs.recreate import has_network, missing_network

# Fractions of faces that show an emotion; the first is the default.
_PREVALENCES = (0.01, 0.001, 0.002, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5)


def header(run: Run) -> None:
    """Draw the run's title, state and problems, and how to resume it if it stopped early."""
    name = run_cache.labels([run])[run.id]
    st.title(formats.markdown(name), anchor=False)
    if name != run.id:
        st.caption(f"`{run.id}`")
    badges.badges(run)
    command = training_progress.resume_command(run)
    failed = run.status is not None and run.status.state in {"failed", "diverged"}
    message = run.status.message if run.status and failed else ""
    if run.problem:
        st.warning(formats.markdown(run.problem), icon=":material/help:")
    elif message:
        st.warning(formats.markdown(message), icon=":material/error:")
    for warning in run.warnings:
        st.warning(formats.markdown(warning), icon=":material/broken_image:")
    if not training_progress.stopped_early(run):
        return
    silent = training_progress.seconds_since_heartbeat(run)
    last = f", last sign of life {formats.ago(silent)}" if silent is not None else ""
    epoch = run.status.epoch if run.status else 0
    stopped = (
        f"Stopped after epoch {epoch}{last}." if epoch else f"Stopped in its first epoch{last}."
    )
    if command:
        action = "train it from the start" if run.has_no_progress else "resume it"
        st.markdown(f"{stopped} To {action}:")
        st.code(command, language="bash")
    else:
        st.markdown(f"{stopped} It has no checkpoint here and cannot be resumed. Train it again.")


def training(run: Run) -> None:
    """Draw progress and training curves, again every second while the run trains."""
    st.subheader("Training", anchor=False)
    curves = training_curves.curve_controls(("accuracy", "loss", "learning_rate"))
    color = theme.RUN_COLORS[plot.theme_mode()][0]

    @st.fragment(run_every=training_curves.REFRESH_SECONDS if run.is_active else None)
    def draw() -> None:
        now = run_cache.find_run(run.id) or run
        if now.state != run.state:
            st.rerun()
        if now.is_active:
            st.progress(
                training_progress.progress(now),
                text=training_curves.time_left(now, run_cache.log(now)),
            )
        training_curves.training_curves(
            [now], [training_curves.curve_of(now, "", color)], curves, file_name=run.id
        )

    draw()


def test_metrics(run: Run) -> None:
    """Draw the test metrics as tiles, the published result, and the metrics on every split."""
    test = run_properties.result_of(run, "test")
    if test is None:
        return
    titles = run_properties.split_titles([run])
    accuracies = [split for split in titles if split in {"test", "test_unique"}] or ["test"]
    first = run_properties.result_of(run, accuracies[0]) or test
    worst = run_properties.worst_class(first)
    title = formats.markdown(titles.get(accuracies[0], test.title))
    with st.grid(4, min_column_width=210, gap="small"):
        for split in accuracies:
            result = run_properties.result_of(run, split)
            assert result is not None
            tile.tile(
                f"Accuracy on {formats.markdown(titles.get(split, test.title))}",
                formats.percent(result.accuracy),
                f"{formats.interval(result.accuracy_low, result.accuracy_high)}, "
                f"{run_properties.sample_size(run, result)}",
            )
        tile.tile(
            f"Macro-F1 on {title}",
            formats.percent(first.macro_f1),
            f"UAR {formats.percent(first.uar)}",
        )
        if worst:
            tile.tile(
                f"Worst class: {formats.markdown(worst.name)}",
                formats.percent(worst.recall, 1),
                f"recall, {formats.interval(worst.recall_low, worst.recall_high, 1)}, "
                f"{run_properties.class_size(run, first, worst)}",
            )
    if text := run_properties.class_subset_note(run):
        st.warning(formats.markdown(text), icon=":material/filter_alt:")
    published_result(run)
    st.dataframe(
        run_details_tables.splits_table(run),
        hide_index=True,
        column_config=column_formats.metrics(),
        alt="Metrics on each split",
    )


def published_result(run: Run) -> None:
    """Draw the published accuracy and ours, if the run reproduces a published result."""
    comparison = paper_comparison.compare_with_paper(run)
    if comparison is None or run.config is None or run.config.published is None:
        return
    published, ours = run.config.published, comparison.ours
    with st.container(border=True):
        st.markdown(f"**{formats.markdown(f'{published.system}: {published.row}')}**")
        with st.grid(3, min_column_width=190, gap="small"):
            st.metric("Paper", formats.percent(comparison.published))
            st.metric(f"Ours, {ours.title}", formats.percent(ours.accuracy))
            st.metric("Difference", formats.points(comparison.difference))
        color = theme.RUN_COLORS[plot.theme_mode()][0]
        figure = accuracy_charts.accuracy_forest([("ours", color, ours)], comparison.published)
        plot.plot(
            figure,
            "paper",
            "Our accuracy with its interval; the paper's accuracy as a line",
            file_name=f"accuracy-vs-paper-{run.id}",
        )
        st.caption(paper_comparison.explain_comparison(run, comparison))


def classes(run: Run) -> None:
    """Draw confusion matrix, recall, calibration and class distribution on one split."""
    titles = run_properties.split_titles([run])
    if run.results is None or not titles:
        return
    st.subheader("Classes", anchor=False)
    with st.container(horizontal=True, gap="medium"):
        split = url_widgets.segmented_control("Split", titles, key="split")
        scale = confusion_scale.select_scale()
    result, names = run.results.splits[split], run.results.class_names
    colors = theme.class_colors(names, plot.theme_mode())
    with st.grid(2, min_column_width=340, gap="medium"):
        with st.container(gap="xsmall"):
            st.markdown("**Confusion matrix**")
            top = confusion_matrix.max_cell_value([result], scale)
            plot.plot(
                confusion_matrix.confusion(result, names, plot.theme_mode(), scale, top),
                "confusion",
                "Confusion matrix",
                file_name=f"confusion-{scale}-{run.id}-{split}",
            )
        with st.container(gap="xsmall"):
            st.markdown("**Per-class recall with 95 % CI**")
            plot.plot(
                class_charts.class_recall(result, colors),
                "recall",
                "Recall by class with 95% intervals",
                file_name=f"recall-by-class-{run.id}-{split}",
            )
        with st.container(gap="xsmall"):
            st.markdown("**Calibration**")
            _calibration(run, split)
        with st.container(gap="xsmall"):
            st.markdown("**Class distribution: true (pale) vs. predicted**")
            figure = dataset_charts.class_distribution(result, names, colors)
            plot.plot(
                figure,
                "distribution",
                "Number of images by true and by predicted class",
                file_name=f"class-distribution-{run.id}-{split}",
            )
    st.dataframe(
        run_details_tables.class_table(result),
        hide_index=True,
        column_config=column_formats.classes(),
        placeholder=formats.DASH,
        alt="Metrics of each class",
    )


def precision_at_prevalence(run: Run) -> None:
    """Draw the precision of each class at the prevalence of a deployment."""
    result = run_properties.result_of(run, selected_split(run))
    if result is None or run.results is None:
        return
    st.subheader("Precision at deployment prevalence", anchor=False)
    st.markdown(
        "In a test set, rare emotions are more frequent than in most applications. The rarer an "
        "emotion is, the more of its detections are false positives. Select how many faces show it "
        "in your application:"
    )
    shares = {str(share): f"{share:.1%}" for share in _PREVALENCES}
    share = url_widgets.selectbox("Prevalence", shares, key="prevalence", implied=True, width=200)
    prevalence = float(share or _PREVALENCES[0])
    colors = theme.class_colors(run.results.class_names, plot.theme_mode())
    rates = run_properties.sensitivity_specificity(result)
    with st.grid(2, min_column_width=340, gap="medium"):
        with st.container(gap="xsmall"):
            figure = class_charts.precision_curves(rates, colors, prevalence)
            plot.plot(
                figure,
                "trust",
                "Precision against prevalence, by class",
                file_name=f"precision-at-prevalence-{run.id}",
            )
        st.dataframe(
            run_details_tables.precision_table(result, prevalence),
            hide_index=True,
            column_config=column_formats.precision(prevalence),
            placeholder=formats.DASH,
            alt="Precision of each class at the selected prevalence",
        )
    st.caption(
        "By Bayes' rule from the recall and false positive rate of each class on this split, which "
        "are assumed to stay the same. The appendix of rath2021 has an example."
    )


def top_errors(run: Run) -> None:
    """Draw the most confident errors."""
    samples = comparison_cache.sample_predictions(run, selected_split(run))
    if samples is None or run.results is None:
        return
    st.subheader(
        "Most confident errors",
        anchor=False,
        help="Top losses: the most confident wrong predictions.",
    )
    names = run.results.class_names
    places = select_samples(samples, None, None)

    def card(number: int) -> SampleCard:
        place = places[number]
        predicted = (names[samples.predicted[place]], float(samples.confidence[place]))
        return SampleCard(
            str(samples.ids[place]), names[samples.labels[place]], {"predicted": predicted}
        )

    face_grid.show(run, len(places), card, key="faces")
    st.page_link(
        page_links.CONFUSION_PAGE,
        label="All samples by cell",
        icon=":material/grid_on:",
        query_params={"runs": run.id},
    )


def export(run: Run) -> None:
    """Draw the menu of downloads."""
    if run.results:
        with st.container(horizontal=True, gap="medium"):
            export_menu.menu(
                run.id,
                lambda: run_details_tables.splits_table(run),
                lambda: builder.of_run(run, selected_split(run)),
                caption=f"Metrics of {run_properties.title(run)} on each split, with 95% CI "
                "(Wilson).",
                figures=True,
            )


def selected_split(run: Run) -> str:
    """Return the split that the URL selects, or the first one of the run."""
    titles = run_properties.split_titles([run])
    requested = url_widgets.query_value("split")
    return requested if requested in titles else next(iter(titles), "test")


def details(run: Run) -> None:
    """Draw the network, the configuration or the provenance."""
    parts = {"network": "Network", "config": "Configuration", "provenance": "Provenance"}
    part = url_widgets.segmented_control(
        "Details", parts, key="details", label_visibility="collapsed"
    )
    {"network": _network, "config": _configuration, "provenance": _provenance}[part](run)


_TTA = {
    "none": "each image",
    "flip": "each image and its mirror image (test-time augmentation)",
    "ten_view": "ten views of each image (test-time augmentation): unshifted and shifted by a 24th "
    "of its side, each mirrored as well",
}


def _network(run: Run) -> None:
    if run.results and not has_network(run):
        st.info(formats.markdown(missing_network(run)), icon=":material/hub:")
    layers = run_cache.layers(run)
    if not layers:
        if isinstance(run.config, CombinedConfig):
            st.markdown(_combination(run, run.config.combined))
        else:
            st.caption("No layer table is stored.")
        return
    total = sum(layer.parameters for layer in layers)
    trainable = sum(layer.trainable for layer in layers)
    st.caption(f"{len(layers)} layers, {total:,} parameters, {trainable:,} of them trainable")
    opened = expander.expander("Layer table", "layers", ":material/layers:")
    if opened is None:
        return
    with opened:
        st.dataframe(
            run_details_tables.layer_table(layers),
            hide_index=True,
            column_config=column_formats.layers(),
            height="content",
            alt="Layers of the network",
        )


def _combination(run: Run, combined: Combination) -> str:
    members = ", ".join(f"`{member}`" for member in combined.members)
    mean = "geometric mean" if combined.average == "geometric" else "mean"
    text = f"The {mean} probability of {members}, predicted on {_TTA[combined.tta]}."
    if combined.selected_on and run.results:
        split = run.results.splits[combined.selected_on].title
        text += (
            f" The members were selected on {split} among {combined.candidates} runs, so the "
            "accuracy on that split is optimistic."
        )
    if run.results and not run.results.onnx:
        text += " It was computed from stored predictions and has no network of its own."
    return text


def _configuration(run: Run) -> None:
    st.dataframe(
        run_details_tables.config_table(run), hide_index=True, height="content", alt="Configuration"
    )


def _provenance(run: Run) -> None:
    if run.environment:
        st.markdown("Command to repeat the run:")
        st.code(run.environment.command, language="bash", wrap_lines=True)
    st.dataframe(
        run_details_tables.provenance_table(run),
        hide_index=True,
        height="content",
        alt="Provenance",
    )
    if run.environment and run.environment.dataset_counts:
        st.markdown("Number of samples, as trained and evaluated:")
        st.dataframe(
            run_details_tables.counts_table(run), hide_index=True, alt="Samples by split and class"
        )


def _calibration(run: Run, split: str) -> None:
    samples = comparison_cache.sample_predictions(run, split)
    if samples is None:
        unmarked = (
            split == "test_unique" and comparison_cache.sample_predictions(run, "test") is not None
        )
        st.caption(
            f"Unknown for this split: {run_properties.DUPLICATES_UNKNOWN}."
            if unmarked
            else "The predictions on this split are not stored, or cannot be read."
        )
        return
    if not run.gives_probabilities:
        st.caption(f"No calibration: {run_properties.NO_PROBABILITIES}.")
        return
    temperature = run.results.temperature if run.results else None
    scaled = url_widgets.toggle("After temperature scaling", key="scaled")
    if temperature is not None:
        before_ece = formats.percent(comparison_cache.calibration_error(samples))
        after_ece = formats.percent(comparison_cache.calibration_error(samples, temperature))
        fitted = run_properties.result_of(run, "validation")
        title = fitted.title if fitted else "validation"
        st.caption(
            f"ECE {before_ece}; {after_ece} at temperature {temperature:.2f}, "
            f"fitted on {formats.markdown(title)}."
        )
    reliability.reliability_section(run, samples, theme.RUN_COLORS[plot.theme_mode()][0], scaled)
