"""The whole workflow, run once on a little real speech with a tiny model, then looked at."""
