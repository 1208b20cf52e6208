"""The Overview page: the leaderboard, the recommended network, and where to go from there."""
