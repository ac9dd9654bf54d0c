"""Recordings and their transcripts: what there is, what it is called, manifests of it."""
