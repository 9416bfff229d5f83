"""Attribution methods as pure functions over any JAX function."""

from jaxcam.attribution.cam import cam, grad_cam

__all__ = ["cam", "grad_cam"]
