"""Which maps are wanted of a set: methods, targets, stages, settings; checked against a classifier."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from jaxcam.attribution.perturbation.segments import grid_segments
from jaxcam.classifier import Classifier
from jaxcam.errors import UserError
from jaxcam.maps import methods as registry
from jaxcam.maps.methods import Method
from jaxcam.maps.options import METHODS, MethodOptions
from jaxcam.maps.stages import cam_stage, default_stage
from jaxcam.maps.targets import Plan, Score, parse

Fuse = Literal["mean", "max", "product"]


@dataclass(frozen=True)
class MapSpec:
    """One array of maps."""

    name: str
    """name of the array"""
    method: Method
    stages: tuple[str, ...] = ()
    """stages that the maps are made at; more than one are fused"""


@dataclass(frozen=True, kw_only=True)
class Request:
    """Which maps are wanted."""

    methods: tuple[str, ...] = ("grad_cam",)
    targets: str = "predicted"
    """see `jaxcam.maps.targets`: predicted, second, true, all, top3, a class name, a-b, or several with commas"""
    given: int | None = None
    """instead of `targets`: so many class numbers come with each image (0: one, and no axis of maps)"""
    score: Score = "logit"
    """what is explained: the class' logit or its probability"""
    stage: str | tuple[str, ...] | None = None
    """stage or stages of the layer methods; None: the last convolution below the head"""
    fuse: Fuse | None = None
    """how the maps of several stages become one; None: each stage has maps of its own"""
    options: MethodOptions = MethodOptions()
    """settings of single methods"""
    dtype: Literal["float16", "float32"] = "float16"
    """type that maps are stored in"""

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages asked for; empty for the default one."""
        return () if self.stage is None else (self.stage,) if isinstance(self.stage, str) else self.stage

    def plan(self, class_names: tuple[str, ...]) -> Plan:
        """What the maps explain."""
        if self.given is not None:
            return Plan((), several=self.given > 0, given=self.given)
        return parse(self.targets, class_names)

    def checked(self, classifier: Classifier) -> "Request":
        """The request with the stages filled in; `UserError` for what the classifier cannot give."""
        unknown = [method for method in self.methods if method not in METHODS]
        if unknown or not self.methods or len(set(self.methods)) != len(self.methods):
            raise UserError(f"methods {', '.join(self.methods) or 'none'}: give each once, of {', '.join(METHODS)}")
        plan = self.plan(classifier.class_names)
        if plan.contrastive or self.score == "probability":
            only = [name for name in self.methods if registry.method(name).classes_only]
            if only:
                raise UserError(f"{only[0]} compares classes by itself; leave it out, or give plain classes and logits")
        stages = self.stages or (default_stage(classifier),)
        shapes = classifier.chain.shapes((1, *classifier.preprocessing.size, 3))
        for stage in stages:
            classifier.chain.index(stage)
            if len(shapes[stage]) != 4:
                spatial = ", ".join(name for name, shape in shapes.items() if len(shape) == 4)
                raise UserError(f"stage {stage!r} has no positions; maps can be made at: {spatial}")
        if len(set(stages)) != len(stages):
            raise UserError(f"stages {', '.join(stages)}: give each once")
        if self.fuse is not None and len(stages) == 1:
            raise UserError(f"--fuse {self.fuse} needs several stages, got {stages[0]!r}; give more to --stage")
        if "cam" in self.methods:
            cam_stage(classifier)
        window, size = self.options.window, classifier.preprocessing.size
        if "occlusion" in self.methods and (window[0] > size[0] or window[1] > size[1]):
            raise UserError(f"--window {window} is larger than the network's input {tuple(size)}")
        if {"lime", "kernel_shap"} & set(self.methods):
            parts = int(grid_segments((size[0], size[1]), self.options.segments).max()) + 1
            least = max(16, 4 * parts + 2) if "kernel_shap" in self.methods else 16
            if self.options.lime_samples < least:
                raise UserError(f"--lime-samples is {self.options.lime_samples}; {parts} parts need at least {least}")
        return replace(self, stage=stages[0] if len(stages) == 1 else stages)

    def specs(self) -> tuple[MapSpec, ...]:
        """The arrays of maps of a checked request, in order."""
        found = []
        for name in self.methods:
            method = registry.method(name)
            if not method.at_stage:
                found.append(MapSpec(name, method))
            elif len(self.stages) == 1 or self.fuse is not None:
                found.append(MapSpec(name, method, self.stages))
            else:
                found += [MapSpec(f"{name}_{re.sub(r'[^a-zA-Z0-9]', '_', s)}", method, (s,)) for s in self.stages]
        names = [spec.name for spec in found]
        if len(set(names)) < len(names):
            raise UserError(f"two maps would have one name: {', '.join(names)}; ask for the stages one by one")
        return tuple(found)

    def described(self) -> dict[str, Any]:
        """What the manifest says of a checked request: everything that changes a number, and nothing else."""
        used = {name for spec in self.specs() for name in spec.method.options}
        options = {name: value for name, value in asdict(self.options).items() if name in used}
        described: dict[str, Any] = {
            "methods": list(self.methods),
            "stage": self.stage if isinstance(self.stage, str) else list(self.stages),
            "targets": self.targets if self.given is None else "given",
        }
        described |= {"score": self.score} if self.score != "logit" else {}
        described |= {"fuse": self.fuse} if self.fuse is not None else {}
        described |= {"options": options} if options else {}
        return described | {"maps": {spec.name: self._about(spec) for spec in self.specs()}}

    def _about(self, spec: MapSpec) -> dict[str, Any]:
        """One array of maps, for those who read it."""
        about: dict[str, Any] = {"method": spec.method.name, "signed": spec.method.signed_for(self.options)}
        return about | ({"stages": list(spec.stages)} if spec.stages else {})


def about_maps(manifest: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """What a manifest says of one array of maps; of stores without the entry what the name tells."""
    described = manifest.get("maps")
    found = described.get(name) if isinstance(described, Mapping) else None
    return found if isinstance(found, Mapping) else {"method": name, "signed": name == "cam"}
