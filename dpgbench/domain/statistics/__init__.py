"""Bootstrap, paired differences, correlation and agreement."""
