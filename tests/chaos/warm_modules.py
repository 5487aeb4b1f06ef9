"""What commands on the embedded models import, so that forks need not."""

MODULES = (
    "dpgbench.cli.generate", "dpgbench.cli.score", "dpgbench.jobs.find_target",
    "dpgbench.jobs.generate", "dpgbench.jobs.score", "dpgbench.backends.generators.own_class",
    "dpgbench.backends.generators.image_checks", "dpgbench.backends.generators.stable_diffusion",
    "dpgbench.backends.judges.mplug", "dpgbench.mplug", "ella", "filelock", "tqdm",
    "tests.chaos.loaded",
)  # fmt: skip
