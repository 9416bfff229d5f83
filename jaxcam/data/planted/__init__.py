"""Planted shortcuts: a cue put on the pictures of one class, and moved to the others for the test of the truth."""

from jaxcam.data.planted.cues import CORNERS, KINDS, Cue, Kind, cue_of, plant, put_on, random_cue
from jaxcam.data.planted.folder import MARKER, Planting, plant_folder

__all__ = [
    "CORNERS",
    "KINDS",
    "MARKER",
    "Cue",
    "Kind",
    "Planting",
    "cue_of",
    "plant",
    "plant_folder",
    "put_on",
    "random_cue",
]
