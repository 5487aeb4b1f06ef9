"""A VAE that decodes within the memory that is there: whole, then image by image, then in tiles.

Decoding comes last and takes the most memory of a call: what fails there is done again there, so
that no denoising is lost.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from dpgbench.backends.device import give_back_memory, is_out_of_memory

log = logging.getLogger(__name__)
TILED = (
    "memory ran out, so that the VAE decodes in tiles: pixels differ from those of an image that "
    "is decoded whole"
)


class VaeWithinMemory:
    """Watches a VAE's decode; once memory has run out there, less is decoded at once.

    Image by image, pixels are the same but for rounding; in tiles they are not, so that is the
    last resort, and `remark` says it.

    Args:
        vae: of diffusers; its `decode` is changed in place.

    Attributes:
        remark: what must be said of images that were decoded; "" for nothing.
    """

    def __init__(self, vae: Any) -> None:
        self.vae = vae
        self.remark = ""
        if callable(getattr(vae, "decode", None)):
            vae.decode = self._within_memory(vae.decode)

    def _within_memory(self, decode: Callable[..., Any]) -> Callable[..., Any]:
        def within_memory(latents: Any, *args: Any, **kwargs: Any) -> Any:
            while True:
                try:
                    return decode(latents, *args, **kwargs)
                except Exception as error:
                    if not is_out_of_memory(error) or not self._take_less(len(latents)):
                        raise
                give_back_memory()

        return within_memory

    def _take_less(self, num_images: int) -> bool:
        """Have less decoded at once; return whether there was less to take."""
        vae = self.vae
        if num_images > 1 and getattr(vae, "use_slicing", None) is False:
            vae.enable_slicing()
            log.warning("out of memory: the VAE decodes image by image from now on")
            return True
        if getattr(vae, "use_tiling", None) is False:
            vae.enable_tiling()
            self.remark = TILED
            log.warning("%s", TILED)
            return True
        return False
