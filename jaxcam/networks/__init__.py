"""Networks as chains of named stages."""

from jaxcam.networks.catalog import ARCHITECTURES, Architecture, NetworkSpec, build
from jaxcam.networks.chain import Chain, split_params
from jaxcam.networks.heads import Head

__all__ = ["ARCHITECTURES", "Architecture", "Chain", "Head", "NetworkSpec", "build", "split_params"]
