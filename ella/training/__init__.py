"""Training a connector: the U-Net, the VAE and the text encoder stay as they are.

    config   what can be set, with the paper's values        data     pairs of picture and caption
    draws    all randomness, from (seed, sample number)      cache    tensors computed once, on disk
    sources  pairs to latents and text features              loss     noise, prediction, error
    state    checkpoints that resume exactly                 metrics  one JSON line now and then
    trainer  the loop                                        errors   what can go wrong

`ella.train_connector` is the way in; `python -m ella.train` the same from a command line.
"""
