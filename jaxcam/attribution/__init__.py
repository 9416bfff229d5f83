"""Attribution methods as pure functions over any JAX function."""

from jaxcam.attribution.cam import cam, contrast, grad_cam
from jaxcam.attribution.faithfulness import heat_in_mask

__all__ = ["cam", "contrast", "grad_cam", "heat_in_mask"]
