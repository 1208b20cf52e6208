"""The trainer and what it needs: optimizers, losses, schedules, checkpoints, export to ONNX.

`trainer.train` turns a configuration and a dataset into a finished run directory. May import every
package of `fercore` except `importers`, `benchmarks` and `cli`. To add an optimizer, a loss or a
schedule, add it to the module of that name and to `fercore.config.training`.
"""
