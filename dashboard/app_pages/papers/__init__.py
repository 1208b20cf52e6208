"""The Papers page: published figures, goals and ablation studies."""
