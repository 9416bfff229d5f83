"""The gradient family: attributions to the values of the input, by a backward pass or one with other rules."""
