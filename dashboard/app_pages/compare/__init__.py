"""The Compare page: two or more runs side by side."""
