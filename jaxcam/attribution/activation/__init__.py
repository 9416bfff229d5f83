"""The class-activation family: maps from a layer's activations and what follows the layer."""
