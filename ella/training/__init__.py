"""Training a connector: the U-Net, the VAE and the text encoder stay as they are.

    config       what can be set, with the paper's values
    base_model   the networks that stay as they are: loaded, checked, named by their weights
    data         pairs of picture and caption, from a folder or anything like one
    randomness   everything random, from (seed, sample number)
    batches      pictures and noise of some samples, read ahead
    features     pairs to latents and text features
    cache        tensors computed once, in memory or on disk
    loss         noise, prediction, error
    checkpoints  checkpoints that resume exactly
    metrics      one JSON line now and then
    trainer      the loop
    run          `train_connector`

`ella.train_connector` is the way in; `python -m ella.train` the same from a command line.
"""
