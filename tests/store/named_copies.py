"""Made-up benchmarks in other people's formats, as entries of the table and as files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path, PurePosixPath

from dpgbench.store.benchmark_table import NamedBenchmark, named_benchmarks
from dpgbench.store.hashes import git_blob_id
from tests.helpers import csv_text, row

FILES: dict[str, dict[str, bytes]] = {
    "dsg1k": {
        "dsg/data/dsg-1k-anns.csv": csv_text([row("whoops_1", 1), row("whoops_1", 2, "1")]).encode()
    },
    "corebench": {
        "data/C-MA.json": json.dumps(
            {
                "C-MA-001": {
                    "Main Class": "Composition",
                    "Sub Class": "Multi-Attribute",
                    "Prompt": "=A chest, 'old'\nand \u2028 red.",
                    "Checklist": [
                        {"question": "Is it old (very)?", "tags": ["attribute_pos"]},
                        {"question": "Is it red?", "tags": []},
                    ],
                }
            },
            ensure_ascii=False,
        ).encode(),
        "data/R-AR.json": json.dumps(
            {
                "R-AR-001": {
                    "Main Class": "Reasoning",
                    "Sub Class": "Analogical Reasoning",
                    "Prompt": "word " * 540,
                    "Checklist": [{"question": "Is it?", "tags": ["a", "b"]}],
                    "Remark": "none",
                }
            }
        ).encode(),
    },
    "oneig-alignment": {
        "OneIG-Bench.csv": (
            "category,id,prompt_en,type,prompt_length,class\r\n"
            'Anime_Stylization,000,"一个女孩, sitting",NP,short,LEGO\r\n'
            "Portrait,000,a man,NP,short,\r\nGeneral_Object,000,a cup,NP,short,\r\n"
        ).encode(),
        **{
            f"scripts/alignment/Q_D/{name}.json": json.dumps(
                {
                    "000": {
                        "question": json.dumps({"1": "Is it there?", "2": "Is it small?"}),
                        "dependency": json.dumps({"1": [0], "2": [1]}),
                    }
                }
            ).encode()
            for name in ("anime", "human", "object")
        },
    },
    "geneval2": {
        "geneval2_data.jsonl": (
            json.dumps(
                {
                    "prompt": "seven green croissants",
                    "atom_count": 3,
                    "vqa_list": [["How many?", "seven"], ["Are they green?", "Yes"]],
                    "skills": ["count", "attribute"],
                }
            )
            + "\n"
        ).encode()
    },
}
"""Content by path in the repository, by the name of a benchmark."""


def small(name: str, repository: str = "http://127.0.0.1:9") -> NamedBenchmark:
    """Return the table's entry of a benchmark with the made-up files in place of its own."""
    files = {path: git_blob_id(data) for path, data in FILES[name].items()}
    return replace(
        named_benchmarks()[name], files=files, repository=repository, commit="c0ffee", mirrors={}
    )


def write(folder: Path, name: str, *, flat: bool = False) -> Path:
    """Write the made-up files of a benchmark, in upstream's layout or side by side."""
    for path, data in FILES[name].items():
        target = folder / (PurePosixPath(path).name if flat else path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    return folder
