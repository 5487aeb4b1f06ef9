"""Tables for papers and programs: one format a file."""
