"""The sections of the Run page."""

import streamlit as st

from dashboard import formats
from dashboard.analysis import paper_comparison, run_properties, training_progress
from dashboard.charts import accuracy_charts, class_charts, confusion_matrix, dataset_charts, theme
from dashboard.components import (
    badges,
    column_formats,
    export_menu,
    face_grid,
    page_links,
    plot,
    reliability,
    training_curves,
    url_widgets,
)
from dashboard.components.face_grid import SampleCard
from dashboard.reports import builder
from dashboard.state import comparison_cache, run_cache
from dashboard.tables import run_tables
from fercore.config.run import Combination, CombinedConfig
from fercore.evaluation.paired_runs import select_samples
from fercore.runs.reader import Run
from fercore.runs.recreate import has_network, missing_network

# Shares of faces that show an emotion; the first is the default.
_PREVALENCES = (0.01, 0.001, 0.002, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5)


def header(run: Run) -> None:
    """The run's name, state, and what is wrong with it if something is."""
    st.title(formats.markdown(run_properties.title(run)), anchor=False)
    badges.badges(run)
    command = training_progress.resume_command(run)
    failed = run.status is not None and run.status.state in {"failed", "diverged"}
    said = run.status.message if run.status and failed else ""
    if run.problem:
        st.warning(formats.markdown(run.problem), icon=":material/help:")
    elif said:
        st.warning(formats.markdown(said), icon=":material/error:")
    for warning in run.warnings:
        st.warning(formats.markdown(warning), icon=":material/broken_image:")
    if not training_progress.stopped_early(run):
        return
    silent = training_progress.seconds_since_heartbeat(run)
    last = f", last heard of {formats.ago(silent)}" if silent is not None else ""
    epoch = run.status.epoch if run.status else 0
    stopped = (
        f"Stopped after epoch {epoch}{last}." if epoch else f"Stopped in its first epoch{last}."
    )
    if command:
        how = "train it from the start" if run.has_no_progress else "go on from there"
        st.markdown(f"{stopped} To {how}:")
        st.code(command, language="bash")
    else:
        st.markdown(f"{stopped} There is no checkpoint of it here to go on from: train it anew.")


def training(run: Run) -> None:
    """Progress and curves, drawn anew every second while the run trains."""
    st.subheader("Training", anchor=False)
    curves = training_curves.curve_controls(("accuracy", "loss", "learning_rate"))
    color = theme.RUN_COLORS[plot.theme_mode()][0]

    @st.fragment(run_every=training_curves.REFRESH_SECONDS if run.is_active else None)
    def drawn() -> None:
        now = run_cache.find_run(run.id) or run
        if now.state != run.state:
            st.rerun()
        if now.is_active:
            st.progress(
                training_progress.progress(now),
                text=training_curves.time_left(now, run_cache.log(now)),
            )
        training_curves.training_curves([now], [training_curves.curve_of(now, "", color)], curves)

    drawn()


def figures(run: Run) -> None:
    """The headline figures, and the same on every split."""
    test = run_properties.result_of(run, "test")
    if test is None:
        return
    unique, worst = run_properties.result_of(run, "test_unique"), run_properties.worst_class(test)
    with st.grid(4, min_column_width=210, gap="small"):
        _tile(
            f"{test.title} accuracy",
            formats.percent(test.accuracy),
            f"{formats.interval(test.accuracy_low, test.accuracy_high)}, "
            f"{run_properties.sample_size(run, test)}",
        )
        if unique:
            _tile(
                "Without repeats",
                formats.percent(unique.accuracy),
                f"{formats.interval(unique.accuracy_low, unique.accuracy_high)}, "
                f"{run_properties.sample_size(run, unique)}",
            )
        _tile("Macro-F1", formats.percent(test.macro_f1), f"UAR {formats.percent(test.uar)}")
        if worst:
            _tile(
                f"Worst class: {formats.markdown(worst.name)}",
                formats.percent(worst.recall, 1),
                f"recall, {formats.interval(worst.recall_low, worst.recall_high, 1)}, "
                f"{run_properties.class_size(run, test, worst)}",
            )
    if text := run_properties.class_subset_note(run):
        st.warning(formats.markdown(text), icon=":material/filter_alt:")
    paper(run)
    st.dataframe(
        run_tables.splits_table(run),
        hide_index=True,
        column_config=column_formats.figures(),
        alt="Splits",
    )


def paper(run: Run) -> None:
    """The published figure beside ours."""
    found = paper_comparison.against_paper(run)
    if found is None or run.config is None or run.config.published is None:
        return
    published, ours = run.config.published, found.ours
    with st.container(border=True):
        st.markdown(f"**{formats.markdown(f'{published.system}: {published.row}')}**")
        with st.grid(3, min_column_width=190, gap="small"):
            st.metric("The paper", formats.percent(found.published))
            st.metric(f"Ours, {ours.title}", formats.percent(ours.accuracy))
            st.metric("Difference", formats.points(found.difference))
        color = theme.RUN_COLORS[plot.theme_mode()][0]
        figure = accuracy_charts.accuracy_forest([("ours", color, ours)], found.published)
        plot.plot(figure, "paper", "Our accuracy with its interval, and the paper's as a line")
        st.caption(paper_comparison.paper_words(run, found))


def classes(run: Run) -> None:
    """Confusion, recall, calibration and the distribution of predictions on one split."""
    titles = run_properties.split_titles([run])
    if run.results is None or not titles:
        return
    st.subheader("Classes", anchor=False)
    with st.container(horizontal=True, gap="medium"):
        split = url_widgets.segmented_control("Evaluated on", titles, key="split")
        cells = url_widgets.segmented_control(
            "Cells", {"share": "% of true class", "counts": "Counts"}, key="cells"
        )
    scale: confusion_matrix.Scale = "counts" if cells == "counts" else "share"
    result, names = run.results.splits[split], run.results.class_names
    colors = theme.class_colors(names, plot.theme_mode())
    with st.grid(2, min_column_width=340, gap="medium"):
        with st.container(gap="xsmall"):
            st.markdown("**Confusion**")
            top = confusion_matrix.max_cell_value([result], scale)
            plot.plot(
                confusion_matrix.confusion(result, names, plot.theme_mode(), scale, top),
                "confusion",
                "Confusion",
            )
        with st.container(gap="xsmall"):
            st.markdown("**Recall with 95 % interval**")
            plot.plot(class_charts.class_recall(result, colors), "recall", "Recall by class")
        with st.container(gap="xsmall"):
            st.markdown("**Calibration**")
            _calibration(run, split)
        with st.container(gap="xsmall"):
            st.markdown("**How often each class occurs (pale) and is predicted (full)**")
            figure = dataset_charts.class_distribution(result, names, colors)
            plot.plot(figure, "distribution", "True and predicted classes")
    st.dataframe(
        run_tables.class_table(result),
        hide_index=True,
        column_config=column_formats.classes(),
        placeholder=formats.DASH,
    )


def trust(run: Run) -> None:
    """How far to trust a detection, given how rare the emotion is where the network is to work."""
    result = run_properties.result_of(run, _split(run))
    if result is None or run.results is None:
        return
    st.subheader("How far to trust a detection", anchor=False)
    st.markdown(
        "The faces of a test set are no sample of the world. Where an emotion is rare, most of its "
        "detections are false alarms, however good the network. Choose how many faces show it "
        "where yours is to work:"
    )
    shares = {str(share): f"{share:.1%}" for share in _PREVALENCES}
    share = url_widgets.selectbox(
        "Share of faces", shares, key="prevalence", implied=True, width=200
    )
    prevalence = float(share or _PREVALENCES[0])
    colors = theme.class_colors(run.results.class_names, plot.theme_mode())
    rates = run_properties.sensitivity_specificity(result)
    with st.grid(2, min_column_width=340, gap="medium"):
        with st.container(gap="xsmall"):
            plot.legend({name: name for name, *_ in rates}, colors)
            figure = class_charts.trust_curves(rates, colors, prevalence)
            plot.plot(figure, "trust", "Detections that are right, by how common the class is")
        st.dataframe(
            run_tables.trust_table(result, prevalence),
            hide_index=True,
            column_config=column_formats.trust(prevalence),
            placeholder=formats.DASH,
        )
    st.caption(
        "By Bayes' rule from each class's recall and false alarms on this split, which are taken "
        "to stay the same; the appendix of rath2021 works one example."
    )


def mistakes(run: Run) -> None:
    """The most confident mistakes."""
    judged = comparison_cache.sample_predictions(run, _split(run))
    if judged is None or run.results is None:
        return
    st.subheader("Worst mistakes", anchor=False)
    names = run.results.class_names
    places = select_samples(judged, None, None)

    def face(number: int) -> SampleCard:
        place = places[number]
        predicted = (names[judged.predicted[place]], float(judged.confidence[place]))
        return SampleCard(
            str(judged.ids[place]), names[judged.labels[place]], {"predicted": predicted}
        )

    face_grid.show(run, len(places), face, key="faces")
    st.page_link(
        page_links.CONFUSION_PAGE,
        label="All faces, cell by cell",
        icon=":material/grid_on:",
        query_params={"runs": run.id},
    )


def export(run: Run) -> None:
    """The figures as a table, and the page as one file."""
    if run.results:
        export_menu.menu(
            run.id, lambda: run_tables.splits_table(run), lambda: builder.of_run(run, _split(run))
        )


def _split(run: Run) -> str:
    titles = run_properties.split_titles([run])
    wanted = url_widgets.query_value("split")
    return wanted if wanted in titles else next(iter(titles), "test")


def details(run: Run) -> None:
    """The network, the configuration and where the numbers come from."""
    parts = {"network": "Network", "config": "Configuration", "provenance": "Provenance"}
    shown = url_widgets.segmented_control(
        "Details", parts, key="details", label_visibility="collapsed"
    )
    {"network": _network, "config": _configuration, "provenance": _provenance}[shown](run)


_TTA = {
    "none": "each image as it is",
    "flip": "each image and its mirror image",
    "ten_view": (
        "ten views of each image: in its place and moved by a 24th of its side, and mirrored"
    ),
}


def _network(run: Run) -> None:
    if run.results and not has_network(run):
        st.info(formats.markdown(missing_network(run)), icon=":material/hub:")
    layers = run_cache.layers(run)
    if not layers:
        if isinstance(run.config, CombinedConfig):
            st.markdown(_combination(run, run.config.combined))
        else:
            st.caption("No layer table.")
        return
    total = sum(layer.parameters for layer in layers)
    trainable = sum(layer.trainable for layer in layers)
    st.caption(f"{len(layers)} layers, {total:,} parameters, {trainable:,} of them trainable")
    table = run_tables.layer_table(layers)
    st.dataframe(table, hide_index=True, column_config=column_formats.layers(), height="content")


def _combination(run: Run, combined: Combination) -> str:
    members = ", ".join(f"`{member}`" for member in combined.members)
    mean = "geometric mean" if combined.average == "geometric" else "mean"
    text = f"The {mean} probability of {members}, predicted on {_TTA[combined.tta]}."
    if combined.selected_on and run.results:
        split = run.results.splits[combined.selected_on].title
        text += (
            f" The members were chosen on {split} among {combined.candidates} runs, so the accuracy"
            " on that split is optimistic."
        )
    if run.results and not run.results.onnx:
        text += " It was computed from stored predictions and has no network of its own."
    return text


def _configuration(run: Run) -> None:
    st.dataframe(run_tables.config_table(run), hide_index=True, height="content")


def _provenance(run: Run) -> None:
    if run.environment:
        st.markdown("This command starts the run again:")
        st.code(run.environment.command, language="bash", wrap_lines=True)
    st.dataframe(run_tables.provenance_table(run), hide_index=True, height="content")
    if run.environment and run.environment.dataset_counts:
        st.markdown("Samples, as trained and evaluated:")
        st.dataframe(run_tables.counts_table(run), hide_index=True)


def _calibration(run: Run, split: str) -> None:
    judged = comparison_cache.sample_predictions(run, split)
    if judged is None:
        unknown = (
            split == "test_unique" and comparison_cache.sample_predictions(run, "test") is not None
        )
        st.caption(
            f"Not known for this split: {run_properties.REPEATS_UNKNOWN}."
            if unknown
            else "No predictions are stored for this split, or they cannot be read."
        )
        return
    if not run.gives_probabilities:
        st.caption(f"No calibration: {run_properties.NO_PROBABILITIES}.")
        return
    temperature = run.results.temperature if run.results else None
    scaled = url_widgets.toggle("After temperature scaling", key="scaled")
    if temperature is not None:
        before_ece = formats.percent(comparison_cache.calibration_error(judged))
        after_ece = formats.percent(comparison_cache.calibration_error(judged, temperature))
        fitted = run_properties.result_of(run, "validation")
        title = fitted.title if fitted else "validation"
        st.caption(
            f"ECE {before_ece}, {after_ece} at the temperature {temperature:.2f}, "
            f"fitted on {formats.markdown(title)}."
        )
    reliability.reliability_section(run, judged, theme.RUN_COLORS[plot.theme_mode()][0], scaled)


def _tile(label: str, value: str, below: str) -> None:
    with st.container(border=True, height="stretch", gap="xxsmall"):
        st.metric(label, value)
        st.caption(below)
