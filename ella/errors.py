"""What can go wrong in ella, and nothing else.

    EllaError
    ├── ConnectorFileError (ValueError)       a connector file cannot be read as one
    ├── IncompleteWeightsError (ValueError)   files lack tensors of the network that they are for
    ├── TextEncoderError (ValueError)         a text encoder cannot be loaded or cannot encode
    ├── UnsupportedPipelineError (TypeError)  a pipeline cannot be shown new conditions each step
    └── TrainingError                         see `ella.training.errors`

A wrong argument is a plain `ValueError` that names the argument and its value.
Each message is one line: what is wrong, where, and what to do next.
"""


class EllaError(Exception):
    """Anything that ella itself found wrong."""


class ConnectorFileError(EllaError, ValueError):
    """A connector file is missing, damaged, of another kind, or of other names or shapes."""


class IncompleteWeightsError(EllaError, ValueError):
    """Files lack tensors of their network, or have them in another shape."""


class TextEncoderError(EllaError, ValueError):
    """A text encoder's folder is not one, or its tokenizer cannot do what was asked."""


class UnsupportedPipelineError(EllaError, TypeError):
    """A pipeline cannot show the U-Net other conditions at each step, or would show wrong ones."""
