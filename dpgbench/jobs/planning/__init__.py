"""What a run will need before it is started: units of work, memory, disk, hours, money."""
