"""What a set's maps will cost, said before they are computed."""

from dataclasses import dataclass

from jaxcam.attribution.incremental import incremental
from jaxcam.attribution.perturbation.windows import window_grid
from jaxcam.classifier import Classifier
from jaxcam.maps.methods import Facts
from jaxcam.maps.request import Request


@dataclass(frozen=True)
class Forecast:
    """Forward passes and bytes of a set's maps."""

    images: int
    forwards: tuple[tuple[str, float], ...]
    """forward passes an image, by array of maps, beyond the shared one"""
    bytes: int
    """of the whole store, before compression"""

    @property
    def per_image(self) -> float:
        """Forward passes an image."""
        return 1 + sum(cost for _, cost in self.forwards)

    def words(self) -> str:
        """One line: the cost of an image, the methods that make it up, the size on disk."""
        large = sorted((one for one in self.forwards if one[1] >= 1), key=lambda one: -one[1])[:4]
        parts = f" ({', '.join(f'{name} {cost:.0f}' for name, cost in large)})" if large else ""
        return (
            f"forecast: {self.images} images, about {self.per_image:.3g} forwards each{parts}, at most "
            f"{size_words(self.bytes)} on disk"
        )


def forecast(classifier: Classifier, request: Request, *, images: int, size: int) -> Forecast:
    """The forecast of a checked request; `size` is the store's, in bytes."""
    plan = request.plan(classifier.class_names)
    shapes = classifier.chain.shapes((1, *classifier.preprocessing.size, 3))
    costs = []
    for spec in request.specs():
        channels = [shapes[stage][-1] for stage in spec.stages] or [0]
        facts = [Facts(plan.width, classifier.preprocessing.size, c, request.options) for c in channels]
        cost = sum(spec.method.forwards(fact) for fact in facts)
        costs.append((spec.name, cost / occlusion_speed_up(classifier, request) if spec.name == "occlusion" else cost))
    return Forecast(images, tuple(costs), size)


def occlusion_speed_up(classifier: Classifier, request: Request) -> float:
    """How many times fewer operations hiding the windows takes than a forward pass for each, by the plan of it."""
    size, options = classifier.preprocessing.size, request.options
    grid = window_grid(size, options.window, options.stride)
    fn = lambda inputs: classifier.chain.apply(classifier.params, inputs)
    plan = incremental(fn).plan((1, *size, 3), window=options.window, offsets=grid.boxes()[:, :, 0])
    return max(1.0, plan.window_speed_up)


def size_words(size: int) -> str:
    """A number of bytes for people.

    >>> size_words(3 * 2**30)
    '3.0 GiB'
    """
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} bytes"
