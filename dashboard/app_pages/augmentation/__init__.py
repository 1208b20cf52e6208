"""The Augmentation page: previews of augmented training images."""
