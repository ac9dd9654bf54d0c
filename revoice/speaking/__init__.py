"""Any text in a voice: from the command line, from other programs, from the workflow."""
