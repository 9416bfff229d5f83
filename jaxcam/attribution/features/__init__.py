"""What a network learned: statistics of its channels, patterns that excite them, dreams. Pure functions."""
