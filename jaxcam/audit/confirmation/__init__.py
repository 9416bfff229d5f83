"""The confirming layer: what breaks the suspected cue, or takes the object away, and sees what the model does then.

C1 heat on the object, C2 answers to empty scenes, C3 counter-examples, C3p objects before other classes' backgrounds,
C4 pictures without the object, C5 accuracy by groups.
"""

from jaxcam.audit.confirmation.counter import counter_examples
from jaxcam.audit.confirmation.empty_scenes import empty_scenes
from jaxcam.audit.confirmation.evidence import Evidence
from jaxcam.audit.confirmation.groups import worst_group
from jaxcam.audit.confirmation.object_heat import heat_on_object
from jaxcam.audit.confirmation.objects import find_objects
from jaxcam.audit.confirmation.pasting import objects_elsewhere
from jaxcam.audit.confirmation.removal import object_removed
from jaxcam.audit.confirmation.scenes import find_scenes
from jaxcam.audit.sample import tested
from jaxcam.audit.signals import Signal
from jaxcam.audit.subject import Subject
from jaxcam.progress import Progress


def signals(subject: Subject, *, progress: Progress) -> list[Signal]:
    """C1 to C5 of a subject; what cannot be tested says why.

    Masks and scenes that nobody gave are derived where the pictures were taken before fixed scenes. Raises `UserError`
    for files of the user that cannot be used.
    """
    evidence = Evidence(subject, tested(subject, progress=progress))
    scenes = find_scenes(evidence)
    objects = find_objects(evidence, scenes)
    return [
        heat_on_object(evidence, objects, progress=progress),
        empty_scenes(evidence),
        *counter_examples(evidence, progress=progress),
        objects_elsewhere(evidence, objects, scenes, progress=progress),
        object_removed(evidence, objects, scenes, progress=progress),
        worst_group(evidence, progress=progress),
    ]
