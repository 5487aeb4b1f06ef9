"""`python -m dpgbench` is `dpgbench`."""

from dpgbench.cli import main

if __name__ == "__main__":
    main()
