"""What the rules share; the only room that knows Snakemake."""
