"""What can be wrong with a folder of weights."""


class CheckpointError(ValueError):
    """A file of the judge's folder is missing, damaged, or not what the network needs.

    The message is one line: the file, what is wrong with it, what to do next.
    """
