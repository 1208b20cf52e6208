"""One folder for each page: a thin script with the name of the folder, and its sections.

The folder is not called `pages`, because Streamlit would treat every file in it as a page. Modules
here may import `components`, `state`, `tables`, `charts`, `reports` and `analysis`. What two pages
need belongs in `components`. To add a page, add a folder here and an entry to
`dashboard/navigation.py`.
"""
