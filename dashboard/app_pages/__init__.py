"""One folder for each page: the module of its name is a thin script, the others its sections.

The folder is not called `pages`: Streamlit would take every file in it for a page.
`dashboard/navigation.py` lists the pages. Modules here import `components`, `state`, `tables`,
`charts`, `reports` and `analysis`; what two pages need belongs in `components`. To add a page, add
a folder here and an entry to `navigation.py`.
"""
