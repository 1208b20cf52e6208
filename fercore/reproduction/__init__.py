"""Comparison of published figures, our goals and our ablation studies with the existing runs.

Each module reads the TOML file beside it. May import `fercore.runs`, `fercore.metrics` and
`fercore.config`. To add a paper, add its rows to `papers.toml` and its experiments to
`fercore/configs/`.
"""
