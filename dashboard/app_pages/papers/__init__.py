"""The Paper reproductions page: published results, our goals and ablation studies."""
