"""One module a command. Heavy imports stay inside the functions, so that help and mistakes are answered at once."""
