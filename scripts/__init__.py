"""Scripts for those who change the toolkit; nothing that users need to run it."""
