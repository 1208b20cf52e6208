"""The Confusion matrix page: confusion matrices, and the samples of each cell."""
