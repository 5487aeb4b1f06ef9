"""Scripts for those who change the toolkit; users need none of them."""

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
