"""Train, log and compare small networks for facial-expression recognition."""
