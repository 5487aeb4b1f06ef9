"""Who does the work: this process, or workers of a Ray cluster; one interface for both."""
