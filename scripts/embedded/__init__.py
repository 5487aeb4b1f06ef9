"""How the embedded models were made: one folder a model, and what their figures come from.

Every module with a `main` is a command: `python -m scripts.embedded.sd15.train_vae --work WORK`,
from the checkout's root. `training` holds what the training commands share, `pack` puts what they
made into the toolkit.
"""
