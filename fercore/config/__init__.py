"""Experiment configurations: the schema, and how TOML files and options become one.

`experiment.ExperimentConfig` holds one frozen pydantic model for each part of an experiment;
`loading` reads the TOML files under `fercore/configs/`. May import `fercore.io` and
`fercore.errors`. To add an option, add a field with a default to the model that it belongs to and
describe it in that model's docstring: the command line, the Run page and the schema follow.
"""
