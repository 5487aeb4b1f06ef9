"""Scoring rules as data: what "the DPG-Bench score" means, by name.

The same answers give different numbers under different rules, so a rule's name stands beside
every result. A number or a choice that can move a score is a field here, never a branch elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from dpgbench.errors import unknown_name

ImageScore = Literal["verdicts", "product", "number", "arithmetic-mean", "geometric-mean"]


@dataclass(frozen=True)
class ScoringRule:
    """How answers become a score.

    Attributes:
        name: stands beside every result.
        summary: one line for people.
        answers: how an answer counts as yes: ``exact``, the text ``yes`` and nothing else, as the
            scripts have it that such rules copy; or ``read``, whatever its case, spaces and marks
            (`answer_text.read_yes_no`). A missing answer is missing under both.
        skip_first_row: leave the file's first data row out (ELLA issue 61).
        rows: ``consecutive``: only the last run of an item's rows that stand together counts;
            ``all``: every row of the item.
        bad_dependency: what a dependency with a part that is no number does: ``refuse`` the file,
            leave its item ``ungated``, or ``ignore`` that part.
        gate: which parents zero a question. ``file-order``: direct parents as they stand while the
            questions are walked in file order; ``direct``: the direct parents' own answers;
            ``ancestors``: all ancestors, in topological order; ``none``: no parent zeroes.
        unseen_parent: under ``file-order``, a parent further down the file counts by its
            ``answer`` or as ``passed``.
        unknown_parent: a parent that is not a question of the item makes the item ``fail`` or is
            ``passed`` over.
        overall: mean of ``items`` (of tile means) or of all ``questions`` of all tiles.
        unscored_item: an item that the rule itself loses is ``left-out`` of the mean or counts as
            ``zero``. An item whose images or answers are missing is left out always.
        categories: named by the ``tuple`` or by the ``columns``.
        category_tiles: categories look at the ``last`` tile or at ``all``.
        category_stage: categories average answers ``raw`` or ``gated`` (after zeroing).
        category_of: categories average ``questions``, or the scores of whole ``images`` that have
            one of theirs.
        image_score: what an image's score is made of. ``verdicts``: the share of questions that
            hold; ``product``: the product of the answers' probabilities of yes; ``number``: the one
            answer is the score itself; ``arithmetic-mean`` and ``geometric-mean``: of the
            probabilities of the right answers. No question zeroes another but under the first.
        decimals: digits after the point that probabilities are rounded to before they are
            multiplied, and their product after; None rounds nothing.
        asks: what the judge is asked: the benchmark's ``questions`` (or a judge's own), or
            `question` about the whole ``prompt``, so that a benchmark needs no questions.
        question: about the whole prompt, which stands in place of ``{prompt}``.
    """

    name: str
    summary: str
    source: str
    answers: Literal["exact", "read"] = "exact"
    skip_first_row: bool = False
    rows: Literal["consecutive", "all"] = "all"
    bad_dependency: Literal["refuse", "ungated", "ignore"] = "ignore"
    gate: Literal["file-order", "direct", "ancestors", "none"] = "ancestors"
    unseen_parent: Literal["answer", "passed"] = "answer"
    unknown_parent: Literal["fail", "passed"] = "passed"
    overall: Literal["items", "questions"] = "items"
    unscored_item: Literal["left-out", "zero"] = "left-out"
    categories: Literal["tuple", "columns"] = "tuple"
    category_tiles: Literal["last", "all"] = "all"
    category_stage: Literal["raw", "gated"] = "gated"
    category_of: Literal["questions", "images"] = "questions"
    image_score: ImageScore = "verdicts"
    decimals: int | None = None
    asks: Literal["questions", "prompt"] = "questions"
    question: str = ""

    @property
    def of_right_answers(self) -> bool:
        """Whether it is about the probabilities of right answers."""
        return self.image_score in ("arithmetic-mean", "geometric-mean")


ELLA_REFERENCE = ScoringRule(
    name="ella-reference",
    summary="the ELLA authors' script, one process, bug for bug; what published numbers used",
    source="TencentQQGYLab/ELLA, dpg_bench/compute_dpg_bench.py at commit 3c228f1",
    skip_first_row=True,
    rows="consecutive",
    bad_dependency="refuse",
    gate="file-order",
    unseen_parent="answer",
    unknown_parent="fail",
    category_tiles="last",
    category_stage="raw",
)
DSG = ScoringRule(
    name="dsg",
    summary="the Davidsonian Scene Graph repository's rule: direct parents only, no cascade",
    source="j-min/DSG, arXiv 2310.18235",
    bad_dependency="ungated",
    gate="direct",
    unknown_parent="fail",
    unscored_item="zero",
)
CORRECTED_V1 = ScoringRule(
    name="corrected-v1",
    summary="what the benchmark means to measure: all rows, all ancestors, all tiles",
    source="this project, docs/rules.md",
    answers="read",
)
ULMEVAL = ScoringRule(
    name="ulmeval",
    summary="ULMEvalKit's scorer: mean over all questions of all images",
    source="ULMEvalKit",
    gate="file-order",
    unseen_parent="passed",
    overall="questions",
    categories="columns",
)

DIFFUSIONBENCH = ScoringRule(
    name="diffusionbench",
    summary="diffusionbench-evals' scorer of single images: categories before zeroing, all images",
    source="End2End-Diffusion/diffusionbench-evals, dpgbench/dpg_evaluator at commit 01c437f",
    skip_first_row=True,
    gate="file-order",
    unseen_parent="answer",
    category_stage="raw",
)

COREBENCH = ScoringRule(
    name="corebench",
    summary="T2I-CoReBench's: no parents; categories are means of images, not of questions",
    source="KwaiVGI/T2I-CoReBench, evaluate.py at commit 5d523d3",
    answers="read",
    gate="none",
    category_stage="raw",
    category_of="images",
)

PRODUCT = ScoringRule(
    name="product",
    summary="T2I-CompBench's BLIP-VQA: an image's probabilities of yes, multiplied",
    source="Karine-Huang/T2I-CompBench, BLIPvqa_eval at commit 1b70949",
    gate="direct",
    categories="columns",
    category_of="images",
    image_score="product",
    decimals=4,
)
MEAN = ScoringRule(
    name="mean",
    summary="the number that the judge gives an image is its score (CLIPScore, spatial scores)",
    source="Karine-Huang/T2I-CompBench, CLIPScore_eval and UniDet_eval at commit 1b70949",
    gate="direct",
    categories="columns",
    category_of="images",
    image_score="number",
)
SOFT_TIFA_AM = ScoringRule(
    name="soft-tifa-am",
    summary="GenEval2's Soft-TIFA: the mean of an image's probabilities of the right answers",
    source="facebookresearch/GenEval2, evaluation.py at commit a6e82d2",
    answers="read",
    gate="direct",
    category_stage="raw",
    image_score="arithmetic-mean",
)
SOFT_TIFA_GM = replace(
    SOFT_TIFA_AM,
    name="soft-tifa-gm",
    summary="GenEval2's Soft-TIFA: the geometric mean of an image's probabilities",
    category_of="images",
    image_score="geometric-mean",
)
VQASCORE = replace(
    SOFT_TIFA_AM,
    name="vqascore",
    summary="VQAScore: the probability of yes to 'does this figure show' the whole prompt",
    source="linzhiqiu/t2v_metrics, arXiv 2404.01291",
    categories="columns",
    category_of="images",
    asks="prompt",
    question='Does this figure show "{prompt}"? Please answer yes or no.',
)

RULES: dict[str, ScoringRule] = {
    rule.name: rule
    for rule in (ELLA_REFERENCE, CORRECTED_V1, DSG, ULMEVAL, DIFFUSIONBENCH, COREBENCH)
}
"""Rules that are about verdicts: any judge of yes and no is scored under them."""
NUMBER_RULES: dict[str, ScoringRule] = {
    rule.name: rule for rule in (PRODUCT, MEAN, SOFT_TIFA_AM, SOFT_TIFA_GM, VQASCORE)
}
"""Rules that are about numbers: probabilities of yes, or what a metric gives an image."""
ALL_RULES = {**RULES, **NUMBER_RULES}
DEFAULT_RULES = (ELLA_REFERENCE.name, CORRECTED_V1.name)


def rule_that_asks(name: str) -> ScoringRule | None:
    """Return the rule whose own question a judge was asked, by the judge's name in results.

    ``hf:ORG/REPO:vqascore`` was asked what the rule `vqascore` asks; None for other names.
    """
    rule = ALL_RULES.get(name.rpartition(":")[2]) if ":" in name else None
    return rule if rule is not None and rule.asks == "prompt" else None


def find_rule(name: str) -> ScoringRule:
    """Return the rule called `name`.

    Raises:
        UsageError: there is none; near names are offered.
    """
    if name not in ALL_RULES:
        raise unknown_name("rule", name, ALL_RULES, listing="dpgbench score --help")
    return ALL_RULES[name]
