"""What `dpgbench doctor` looks at: the machine, and a judge (self-test and exam)."""
