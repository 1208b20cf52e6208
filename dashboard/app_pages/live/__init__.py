"""The Live page: webcam inference."""
