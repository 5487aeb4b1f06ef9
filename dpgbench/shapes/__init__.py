"""A small world of flat shapes, and the benchmark `shapes` that comes from it.

A `Scene` says what a picture holds. From it follow the picture (`render`), dense prompts
(`caption`) and a graph of yes/no questions (`questions`) with their true answers (`answer`), also
about other scenes. Imports nothing else of the toolkit.
"""

from dpgbench.shapes.benchmark import Item, benchmark_items, to_csv
from dpgbench.shapes.captions.caption import caption, short_caption
from dpgbench.shapes.hard_negatives import dependents, hard_negative
from dpgbench.shapes.questions import COLUMNS, Answer, Question, answer, questions
from dpgbench.shapes.render import render
from dpgbench.shapes.sampling import sample_scene, sample_scenes
from dpgbench.shapes.scene import Kind, Scene, Split, Thing, split

__all__ = [
    "COLUMNS",
    "Answer",
    "Item",
    "Kind",
    "Question",
    "Scene",
    "Split",
    "Thing",
    "answer",
    "benchmark_items",
    "caption",
    "dependents",
    "hard_negative",
    "questions",
    "render",
    "sample_scene",
    "sample_scenes",
    "short_caption",
    "split",
    "to_csv",
]
