"""Draws with a compiled connector and without; says how often it was compiled.

python -m tests.ella.compiled_connector
"""

from __future__ import annotations

from typing import Any

import torch

from ella import Ella, tiny

ARGUMENTS: dict[str, Any] = {
    "num_inference_steps": 3,
    "guidance_scale": 7.5,
    "output_type": "latent",
}


def main() -> None:
    pipeline = tiny.tiny_pipeline()
    ella = Ella(tiny.tiny_connector(), tiny.tiny_text_encoder())
    compiled = []

    def compiler(graph: Any, _inputs: Any) -> Any:
        compiled.append(graph)
        return graph.forward

    def draw(prompt: str) -> torch.Tensor:
        generator = [torch.Generator().manual_seed(0)]
        latents: torch.Tensor = ella.generate(
            pipeline, prompt, generator=generator, **ARGUMENTS
        ).images
        return latents

    usual = draw("a dog")
    ella.compile_connector(backend=compiler)
    torch.testing.assert_close(draw("a dog"), usual, rtol=1e-4, atol=1e-5)
    draw("a cat")
    print(f"compiled {len(compiled)} times")


if __name__ == "__main__":
    main()
