"""Attribution methods as pure functions over any JAX function."""

from jaxcam.attribution.ablation import ablation_cam
from jaxcam.attribution.agreement import agreement
from jaxcam.attribution.approximate import compare_with_exact, occlusion_coarse_to_fine, occlusion_linear
from jaxcam.attribution.cam import cam, contrast, grad_cam
from jaxcam.attribution.channel_weights import grad_cam_pp, xgrad_cam
from jaxcam.attribution.complexity import entropy, gini
from jaxcam.attribution.conventions import by_convention, convention
from jaxcam.attribution.deeplift import deep_lift
from jaxcam.attribution.eigen import eigen_cam, eigen_grad_cam
from jaxcam.attribution.elementwise import hires_cam, layer_cam
from jaxcam.attribution.erasure import erase_strongest, erasure_shares
from jaxcam.attribution.faithfulness import confidence_change, deletion, insertion
from jaxcam.attribution.finer import finer, finer_cam
from jaxcam.attribution.fusion import fuse
from jaxcam.attribution.global_occlusion import global_maps, occlusion_totals
from jaxcam.attribution.gradients import channel_max_abs, channel_sum, input_x_gradient, saliency, smooth_grad
from jaxcam.attribution.guided import guided_grad_cam
from jaxcam.attribution.incremental import incremental
from jaxcam.attribution.localisation import (
    box_masks,
    heat_in_mask,
    pointing_game,
    relevance_mass,
    relevance_rank,
    top_k_intersection,
)
from jaxcam.attribution.masks import rise, score_cam
from jaxcam.attribution.occlusion import occluded_logits, occlusion, window_drops
from jaxcam.attribution.occlusion_conventions import occlusion_map
from jaxcam.attribution.path import Decomposition, expected_gradients, integrated_gradients
from jaxcam.attribution.rectifiers import deconvnet, guided_backprop
from jaxcam.attribution.relevance import Relevance, named_stages, relevance
from jaxcam.attribution.relevance_rules import AlphaBeta, Composite, Epsilon, Gamma, ZBox, ZPlus
from jaxcam.attribution.resize import resize
from jaxcam.attribution.road import road
from jaxcam.attribution.robustness import gaussian, infidelity, max_sensitivity, squares
from jaxcam.attribution.sanity import cascading_randomisation, label_randomisation, similarity
from jaxcam.attribution.segments import grid_segments, paint, superpixels
from jaxcam.attribution.shapley import kernel_shap
from jaxcam.attribution.split import at_stage, split
from jaxcam.attribution.surrogate import lime
from jaxcam.attribution.windows import per_pixel, window_grid

__all__ = [
    "AlphaBeta",
    "Composite",
    "Decomposition",
    "Epsilon",
    "Gamma",
    "Relevance",
    "ZBox",
    "ZPlus",
    "ablation_cam",
    "agreement",
    "at_stage",
    "box_masks",
    "by_convention",
    "cam",
    "cascading_randomisation",
    "channel_max_abs",
    "channel_sum",
    "compare_with_exact",
    "confidence_change",
    "contrast",
    "convention",
    "deconvnet",
    "deep_lift",
    "deletion",
    "eigen_cam",
    "eigen_grad_cam",
    "entropy",
    "erase_strongest",
    "erasure_shares",
    "expected_gradients",
    "finer",
    "finer_cam",
    "fuse",
    "gaussian",
    "gini",
    "global_maps",
    "grad_cam",
    "grad_cam_pp",
    "grid_segments",
    "guided_backprop",
    "guided_grad_cam",
    "heat_in_mask",
    "hires_cam",
    "incremental",
    "infidelity",
    "input_x_gradient",
    "insertion",
    "integrated_gradients",
    "kernel_shap",
    "label_randomisation",
    "layer_cam",
    "lime",
    "max_sensitivity",
    "named_stages",
    "occluded_logits",
    "occlusion",
    "occlusion_coarse_to_fine",
    "occlusion_linear",
    "occlusion_map",
    "occlusion_totals",
    "paint",
    "per_pixel",
    "pointing_game",
    "relevance",
    "relevance_mass",
    "relevance_rank",
    "resize",
    "rise",
    "road",
    "saliency",
    "score_cam",
    "similarity",
    "smooth_grad",
    "split",
    "squares",
    "superpixels",
    "top_k_intersection",
    "window_drops",
    "window_grid",
    "xgrad_cam",
]
