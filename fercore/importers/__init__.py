"""Import predictions and ONNX networks of other projects as runs.

`import_run` is the entry. Networks are read and run in a process of their own, under limits of time
and memory: `worker` runs there, `limited_process` starts it. May import `fercore.evaluation`,
`fercore.inference`, `fercore.runs` and what is below them.
"""
