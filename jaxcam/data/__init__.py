"""Images in: folders, decoding, batches, and data sets that are drawn.

Only the folder part is imported here; `jaxcam.data.loader` (with grain) and the drawing modules are imported by name.
"""

from jaxcam.data.folder import ImageSet, find_splits, load_folder, load_split

__all__ = ["ImageSet", "find_splits", "load_folder", "load_split"]
