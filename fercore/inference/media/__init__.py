"""Read photos and videos of unknown origin, within limits of memory."""
