"""Caches of runs, datasets, networks and comparisons, each valid until its files change.

Only this package uses `st.cache_*`. All visitors share the cached objects: never change one. May
import `dashboard.charts` and `dashboard.analysis`. To cache something new, add a function to the
module of its subject, with everything that the result depends on among its arguments.
"""
