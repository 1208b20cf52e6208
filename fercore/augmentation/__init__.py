"""Augment training images, in whole batches, on the device that trains.

Needs Keras. May import `fercore.config` and `fercore.data`. To add an operation, add its field to
`fercore.config.augmentation` and its random draw to `layer`.
"""
