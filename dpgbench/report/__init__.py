"""Reports: a board of runs to files in CSV, HTML, Markdown and LaTeX, and plots.

Renders what `analysis.board` computed. Jinja2 is imported when a report is made.
"""

from dpgbench.report.build import ReportOptions, build_report, stale_files

__all__ = ["ReportOptions", "build_report", "stale_files"]
