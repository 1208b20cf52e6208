"""Experiment configurations: schema, loading, overrides and validation.

`experiment.ExperimentConfig` holds one frozen pydantic model for each part of an experiment.
`loading` reads the TOML files under `fercore/configs/`. `upgrade` accepts the names of earlier
versions. May import `fercore.io` and `fercore.errors`. To add an option, add a field with a default
to its model and describe it in the docstring of the model: the command line, the Run page and the
JSON Schema follow.
"""
