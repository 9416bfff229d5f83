"""Training in phases: a frozen base, then fine-tuning from a named stage."""
