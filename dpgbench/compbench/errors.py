"""What the metrics raise beside Python's own errors."""


class WeightsError(Exception):
    """Weights that are not what they must be; the message says which file and what is wrong."""


class PictureError(Exception):
    """A picture or a prompt that a metric gives no number for; the message says why."""
