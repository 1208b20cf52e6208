"""`fercore configs`: list the experiments."""

from fercore.cli._options import AsJson, plain_table, print_json, print_table
from fercore.config.loading import list_configs, load_config


def configs(as_json: AsJson = False) -> None:
    """List every experiment, with the accuracy that its paper reports.

    Example: fercore configs
    """
    loaded = [load_config(name) for name in list_configs()]
    if as_json:
        print_json([config.model_dump(mode="json") for config in loaded])
        return
    table = plain_table("experiment", "dataset", "model", ">paper %", "title")
    for config in loaded:
        figure = f"{config.published.test_accuracy:.2f}" if config.published else "-"
        table.add_row(config.name, config.dataset, config.model, figure, config.title)
    print_table(table)
