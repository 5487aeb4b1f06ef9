"""What the benchmark is: graphs, specifications, rules, scores. Pure; reads and writes no file."""
