"""The Augmentation page: previews of what training sees."""
