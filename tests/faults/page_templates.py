"""Importing this reads the templates of the report's page, so that forks need not."""

from __future__ import annotations

from dpgbench.report.page.render import _environment
from dpgbench.store.paths import data_folder

_templates = _environment(data_folder("reports"))
for name in _templates.list_templates():
    _templates.get_template(name)
