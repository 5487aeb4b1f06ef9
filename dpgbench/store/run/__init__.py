"""The files of a run folder: each format is read and written in one module."""
