"""How many images shared a call, as the manifest says it: what was asked, what fits, what was."""

from __future__ import annotations

from dpgbench.backends.generators.drawing_options import DrawingOptions
from dpgbench.backends.generators.plan import GenerationPlan
from dpgbench.engine.drawing import Drawn
from dpgbench.store.run.manifest import Manifest


class BatchLog:
    """Takes what drawn items say of their calls, and puts it into the manifest.

    Args:
        manifest: of the run.
        plan: of the command.
    """

    def __init__(self, manifest: Manifest, plan: GenerationPlan) -> None:
        self._manifest, self._drawing = manifest, plan.drawing
        self._images_that_fit: int | None = None
        self._remarks: dict[str, str] = {}

    @property
    def images_at_once(self) -> int | None:
        """How many images fit into a call, as the run knows it; None where nobody asks for that."""
        if self._drawing.batch_size is not None:
            return None
        return self._manifest.generation.get("batch", {}).get("images_that_fit")

    def take(self, outcome: object) -> None:
        """Note what an item says of the call that drew it."""
        if not isinstance(outcome, Drawn):
            return
        call = outcome.call
        if call.images_that_fit is not None:
            self._images_that_fit = min(
                call.images_that_fit, self._images_that_fit or call.images_that_fit
            )
        if call.remark:
            self._remarks.setdefault(call.remark, outcome.item_id)

    def keep(self) -> None:
        """Put it into the manifest; a run that was drawn in the usual way says nothing of it."""
        for remark, item_id in self._remarks.items():
            self._manifest.note(f"from item {item_id} on: {remark}")
        record = self._manifest.generation.get("batch")
        if record is None and self._drawing == DrawingOptions() and not self._images_that_fit:
            return
        record = self._manifest.generation.setdefault("batch", {})
        record["asked"], record["compiled"] = self._drawing.asked, self._drawing.compile
        if self._images_that_fit is not None:
            record["images_that_fit"] = self._images_that_fit
