"""The story that jaxcam tells first: four networks, equally good on validation, and what they look at."""
