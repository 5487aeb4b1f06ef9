"""Training of the embedded Stable Diffusion: VAE, CLIP, U-Net."""
