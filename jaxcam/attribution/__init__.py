"""Attribution methods as pure functions over any JAX function."""

from jaxcam.attribution.activation.ablation import ablation_cam
from jaxcam.attribution.activation.cam import cam, contrast, grad_cam
from jaxcam.attribution.activation.channel_weights import grad_cam_pp, xgrad_cam
from jaxcam.attribution.activation.eigen import eigen_cam, eigen_grad_cam
from jaxcam.attribution.activation.elementwise import hires_cam, layer_cam
from jaxcam.attribution.activation.finer import finer, finer_cam
from jaxcam.attribution.activation.guided import guided_grad_cam
from jaxcam.attribution.conventions import by_convention, convention
from jaxcam.attribution.features.ascent import plain_patterns
from jaxcam.attribution.features.dream import ascend, dream, pyramid, stages_score
from jaxcam.attribution.features.responses import channel_response, stage_response
from jaxcam.attribution.features.robust import robust_patterns
from jaxcam.attribution.features.statistics import channel_statistics, strongest_channel
from jaxcam.attribution.fusion import fuse
from jaxcam.attribution.gradient.deeplift import deep_lift
from jaxcam.attribution.gradient.gradients import channel_max_abs, channel_sum, input_x_gradient, saliency, smooth_grad
from jaxcam.attribution.gradient.path import Decomposition, expected_gradients, integrated_gradients
from jaxcam.attribution.gradient.rectifiers import deconvnet, guided_backprop
from jaxcam.attribution.gradient.relevance import Relevance, named_stages, relevance
from jaxcam.attribution.gradient.relevance_rules import AlphaBeta, Composite, Epsilon, Gamma, ZBox, ZPlus
from jaxcam.attribution.incremental import incremental
from jaxcam.attribution.judging.complexity import entropy, gini
from jaxcam.attribution.judging.faithfulness import confidence_change, deletion, insertion
from jaxcam.attribution.judging.localisation import (
    box_masks,
    heat_in_mask,
    pointing_game,
    relevance_mass,
    relevance_rank,
    top_k_intersection,
)
from jaxcam.attribution.judging.road import road
from jaxcam.attribution.judging.robustness import gaussian, infidelity, max_sensitivity, squares
from jaxcam.attribution.judging.sanity import cascading_randomisation, label_randomisation, similarity
from jaxcam.attribution.loops import loop_ready
from jaxcam.attribution.perturbation.agreement import agreement
from jaxcam.attribution.perturbation.approximate import compare_with_exact, occlusion_coarse_to_fine, occlusion_linear
from jaxcam.attribution.perturbation.erasure import erase_strongest, erasure_shares
from jaxcam.attribution.perturbation.global_occlusion import global_maps, occlusion_totals
from jaxcam.attribution.perturbation.masks import rise, score_cam
from jaxcam.attribution.perturbation.occlusion import occluded_logits, occlusion, window_drops
from jaxcam.attribution.perturbation.occlusion_conventions import occlusion_map
from jaxcam.attribution.perturbation.segments import grid_segments, paint, superpixels
from jaxcam.attribution.perturbation.shapley import kernel_shap
from jaxcam.attribution.perturbation.surrogate import lime
from jaxcam.attribution.perturbation.windows import per_pixel, window_grid
from jaxcam.attribution.resize import resize
from jaxcam.attribution.split import at_stage, split

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
    "ascend",
    "at_stage",
    "box_masks",
    "by_convention",
    "cam",
    "cascading_randomisation",
    "channel_max_abs",
    "channel_response",
    "channel_statistics",
    "channel_sum",
    "compare_with_exact",
    "confidence_change",
    "contrast",
    "convention",
    "deconvnet",
    "deep_lift",
    "deletion",
    "dream",
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
    "loop_ready",
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
    "plain_patterns",
    "pointing_game",
    "pyramid",
    "relevance",
    "relevance_mass",
    "relevance_rank",
    "resize",
    "rise",
    "road",
    "robust_patterns",
    "saliency",
    "score_cam",
    "similarity",
    "smooth_grad",
    "split",
    "squares",
    "stage_response",
    "stages_score",
    "strongest_channel",
    "superpixels",
    "top_k_intersection",
    "window_drops",
    "window_grid",
    "xgrad_cam",
]
