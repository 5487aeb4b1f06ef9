"""Several runs, or the shards of one, made into one run."""
