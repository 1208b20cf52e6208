"""The Data page: installed datasets, their quality, and adding one."""
