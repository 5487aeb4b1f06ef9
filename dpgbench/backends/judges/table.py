"""The table of judges: which there are, and what each needs and takes."""

from __future__ import annotations

from dataclasses import replace

from dpgbench.backends.device import DTYPES
from dpgbench.backends.entries import (
    EmbeddedWeights,
    HuggingFace,
    JudgeEntry,
    ModelScope,
    Role,
    WebFiles,
    argument_of,
)
from dpgbench.backends.import_class import is_own_class
from dpgbench.backends.protocols import BEAM
from dpgbench.domain.rules import rule_that_asks
from dpgbench.errors import UsageError, unknown_name

REPLAY = "replay"
DEFAULT_JUDGE = "mplug"
DECODINGS = (BEAM, "first-token")
WEIGHTS_SOURCES = (ModelScope.choice, HuggingFace.choice)
_MPLUG = "dpgbench.backends.judges.mplug:MplugJudge"
_MPLUG_OPTIONS = {"decode": BEAM, "compile": False}
_MPLUG_FOLDER = "a folder in ModelScope's layout (configuration.json, pytorch_model.bin)"
_MPLUG_FILES = ("config.yaml", "vocab.txt", "pytorch_model.bin")
_MPLUG_MORE_FILES = ("configuration.json", "config_bert.json")

_COMPBENCH = "dpgbench.backends.judges.compbench"
_CLIP_FILES = ("config.json", "vocab.json", "merges.txt")
_DETECTOR_FILES = ("config.json", "preprocessor_config.json")
_OTHER_DETECTOR = (
    "spatial score with another detector than T2I-CompBench's UniDet: another metric, not to be "
    "set beside UniDet's numbers",
)
UNIDET_CEILING = (
    "UniDet has no label for 9 of the 50 nouns of T2I-CompBench's spatial prompts (wallet, mouse, "
    "cow, table, phone, sofa, bag, painting, computer): 100 of its 300 prompts can never score "
    "above 0, and no model more than 66.7"
)

JUDGES: dict[str, JudgeEntry] = {
    entry.name: entry
    for entry in (
        JudgeEntry(
            "mplug",
            "mPLUG-large VQA, the benchmark's own judge, native; beam search",
            _MPLUG,
            roles=(
                Role(
                    "judge",
                    ModelScope(
                        "iic/mplug_visual-question-answering_coco_large_en",
                        "judges/mplug",
                        required=(*_MPLUG_MORE_FILES, *_MPLUG_FILES),
                    ),
                    _MPLUG_FOLDER,
                    HuggingFace(
                        "diffusion-bench/mplug_visual-question-answering_coco_large_en",
                        required=_MPLUG_FILES,
                        files=(*_MPLUG_FILES, *_MPLUG_MORE_FILES),
                        size="about 3 GB",
                    ),
                ),
            ),
            options={**_MPLUG_OPTIONS, "weights_source": None},
        ),
        JudgeEntry(
            "tiny-mplug",
            "embedded: mplug in miniature, trained on the small world: sees 64 px shapes",
            _MPLUG,
            roles=(Role("judge", EmbeddedWeights("mplug"), "a folder in ModelScope's layout"),),
            world="shapes",
            options=_MPLUG_OPTIONS,
        ),
        JudgeEntry(
            "blip-vqa",
            "T2I-CompBench's colour, shape and texture: BLIP asked for each noun chunk",
            f"{_COMPBENCH}:BlipVqaJudge",
            roles=(
                Role(
                    "judge",
                    WebFiles(
                        "judges/blip-vqa",
                        (
                            (
                                "model_base_vqa_capfilt_large.pth",
                                "https://storage.googleapis.com/sfr-vision-language-research/BLIP/"
                                "models/model_base_vqa_capfilt_large.pth",
                            ),
                            (
                                "vocab.txt",
                                "https://huggingface.co/google-bert/bert-base-uncased/resolve/main/"
                                "vocab.txt",
                            ),
                        ),
                    ),
                    "a folder with model_base_vqa_capfilt_large.pth and bert-base-uncased's "
                    "vocab.txt, or BLIP in transformers' layout with that vocab.txt",
                ),
            ),
            options={"chunks": None},
            asks="noun-chunks",
            rules=("product",),
            categories=("color", "shape", "texture"),
        ),
        JudgeEntry(
            "clipscore",
            "T2I-CompBench's non-spatial: the cosine of image and prompt by CLIP ViT-B/32",
            f"{_COMPBENCH}:ClipScoreJudge",
            roles=(
                Role(
                    "judge",
                    HuggingFace(
                        "openai/clip-vit-base-patch32",
                        required=_CLIP_FILES,
                        files=(*_CLIP_FILES, "model.safetensors", "pytorch_model.bin", "*.json"),
                        skipped=("flax_model*", "tf_model*"),
                        size="about 600 MB",
                    ),
                    "a folder with CLIP in transformers' layout",
                ),
            ),
            asks="prompt",
            rules=("mean",),
            categories=("non-spatial",),
        ),
        JudgeEntry(
            "spatial",
            "T2I-CompBench's 2D spatial score, on UniDet's detections (--detections FILE.jsonl)",
            f"{_COMPBENCH}:DetectionsJudge",
            options={"detections": None},
            on_device=False,
            asks="prompt",
            rules=("mean",),
            categories=("spatial",),
            notes=(UNIDET_CEILING,),
        ),
        JudgeEntry(
            "spatial-owlv2",
            "the 2D spatial formula on boxes of OWLv2, asked for both nouns: another metric",
            f"{_COMPBENCH}:DetectorJudge",
            roles=(
                Role(
                    "judge",
                    HuggingFace(
                        "google/owlv2-base-patch16-ensemble",
                        required=_DETECTOR_FILES,
                        files=("*.json", "*.txt", "model.safetensors", "pytorch_model.bin"),
                        size="about 600 MB",
                    ),
                    "a folder with OWLv2 in transformers' layout",
                ),
            ),
            asks="prompt",
            rules=("mean",),
            categories=("spatial",),
            notes=_OTHER_DETECTOR,
        ),
        JudgeEntry(
            "spatial-grounding-dino",
            "the 2D spatial formula on boxes of Grounding DINO, asked for both nouns: another "
            "metric",
            f"{_COMPBENCH}:DetectorJudge",
            roles=(
                Role(
                    "judge",
                    HuggingFace(
                        "IDEA-Research/grounding-dino-base",
                        required=_DETECTOR_FILES,
                        files=("*.json", "*.txt", "model.safetensors", "pytorch_model.bin"),
                        size="about 900 MB",
                    ),
                    "a folder with Grounding DINO in transformers' layout",
                ),
            ),
            asks="prompt",
            rules=("mean",),
            categories=("spatial",),
            notes=_OTHER_DETECTOR,
        ),
    )
}
FAMILIES: dict[str, JudgeEntry] = {
    entry.name: entry
    for entry in (
        JudgeEntry(
            "hf:",
            "hf:REPO or hf:FOLDER: a vision language model of transformers",
            "dpgbench.backends.judges.hf.judge:HfJudge",
        ),
        JudgeEntry(
            "openai:",
            "openai:MODEL: an OpenAI-compatible server",
            "dpgbench.backends.judges.openai.judge:OpenAiJudge",
            options={
                "base_url": None,
                "max_requests": None,
                "questions_per_request": 1,
                "concurrency": 8,
                "price_in": None,
                "price_out": None,
            },
            on_device=False,
        ),
        JudgeEntry(
            "ensemble:",
            "ensemble:A,B,C: the majority of several judges' answers",
            "dpgbench.backends.judges.ensemble:EnsembleJudge",
            lists_judges=True,
            gives_probabilities=False,
        ),
    )
}
FORMS = {
    **{entry.summary.partition(":")[0]: entry.summary for entry in FAMILIES.values()},
    "package.module:Class": "a class of your own; see docs/judges.md",
}


def find_judge(name: str) -> JudgeEntry:
    """Return the entry that `name` stands for.

    Raises:
        UsageError: nothing answers to it; near names are offered.
    """
    if name in JUDGES:
        return JUDGES[name]
    if family := find_family(name):
        return replace(family, name=name, world=_world_of(family, name))
    base, _, variant = name.partition(":")
    if base in JUDGES:
        flag = "--chunks" if "chunks" in JUDGES[base].options else "--decode"
        flag = "--dtype" if variant in DTYPES else flag
        flag = "--rule" if rule_that_asks(name) else flag
        raise UsageError(
            f"'{name}' is how results call {base} with {flag} {variant}; "
            f"write --judge {base} {flag} {variant}"
        )
    if is_own_class(name):
        return JudgeEntry(name, "a class of your own", name, is_own=True)
    raise unknown_name("judge", name, [*JUDGES, *FORMS], listing="dpgbench judges")


def notes_on(judge: str) -> tuple[str, ...]:
    """Return what must stand beside each number of a judge, by its name in results."""
    entry = JUDGES.get(judge.partition(":")[0])
    return entry.notes if entry else ()


def makes_questions(judge: str) -> bool:
    """Return whether a judge, by its name in results, may be asked other questions than a file's.

    It makes them of prompts itself, or a rule does.
    """
    if rule_that_asks(judge):
        return True
    entry = JUDGES.get(judge.partition(":")[0])
    return entry is not None and entry.asks != "questions"


def find_family(name: str) -> JudgeEntry | None:
    """Return the family whose name ``FAMILY:...`` begins with; None where it is of none."""
    prefix, colon, argument = name.partition(":")
    return FAMILIES.get(prefix + colon) if argument else None


def _world_of(family: JudgeEntry, name: str) -> str | None:
    """Return the world of the judges that a name lists: the first that any of them is bound to."""
    members = argument_of(name).split(",") if family.lists_judges else []
    entries = [JUDGES[member.strip()] for member in members if member.strip() in JUDGES]
    return next((entry.world for entry in entries if entry.world), None)
