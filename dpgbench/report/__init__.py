"""Reports: score files of runs to leaderboards in CSV, HTML, Markdown and LaTeX.

Reads run directories, computes no score. Jinja2 is imported when a report is made.
"""

from dpgbench.analysis.leaderboard import GroupKey, LeaderboardRow
from dpgbench.analysis.rows import Group, group_records, load_records, load_rows
from dpgbench.analysis.versus import Versus, compare_runs
from dpgbench.report.build import build_report, stale_files

__all__ = [
    "Group",
    "GroupKey",
    "LeaderboardRow",
    "Versus",
    "build_report",
    "compare_runs",
    "group_records",
    "load_records",
    "load_rows",
    "stale_files",
]
