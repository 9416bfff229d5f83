"""A classifier as one portable program: `uint8` images in, probabilities and maps out, without jaxcam."""

from jaxcam.exporting.program import export as export
