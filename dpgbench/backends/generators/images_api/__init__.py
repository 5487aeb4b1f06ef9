"""Models behind servers of images: GPT-Image, vLLM-Omni, SGLang and what speaks like them."""
