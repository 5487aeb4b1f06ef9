"""A small world of flat shapes, and the benchmark `shapes` that comes from it.

A `Scene` says what a picture holds. From it follow the picture (`render`), dense prompts
(`caption`) and a graph of yes/no questions (`questions`) with their true answers (`answer`), also
about other scenes. Imports nothing else of the toolkit.
"""

from dpgbench.world.benchmark import Item, benchmark_items, to_csv
from dpgbench.world.caption import caption, short_caption
from dpgbench.world.negatives import dependents, hard_negative
from dpgbench.world.questions import COLUMNS, Answer, Question, answer, questions
from dpgbench.world.render import render
from dpgbench.world.sampling import sample_scene, sample_scenes
from dpgbench.world.scene import Kind, Scene, Split, Thing, split

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
