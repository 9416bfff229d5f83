"""What a classifier learned, as pictures and tables: activations, filter patterns, dreams, embeddings."""
