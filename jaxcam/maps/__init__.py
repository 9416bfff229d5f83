"""Maps of whole image sets: computing, storing, drawing."""
