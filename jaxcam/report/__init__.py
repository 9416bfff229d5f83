"""Pages that a person reads: one self-contained HTML file for a run's folder."""
