"""The Confusion page: confusion matrices, and the faces behind each cell."""
