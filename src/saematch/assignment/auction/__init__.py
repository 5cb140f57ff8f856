"""The auction: an exact solver that never needs the whole matrix of scores."""
