"""Import predictions and ONNX networks of other projects as runs.

`import_run` is the entry point. A network is loaded and run in a separate process with limits on
time and memory: `limited_process` starts it, `worker` runs in it. May import `fercore.evaluation`,
`fercore.inference`, `fercore.runs` and the packages that these may import.
"""
