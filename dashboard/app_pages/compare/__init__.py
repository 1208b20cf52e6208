"""The Compare page: two to eight runs side by side."""
