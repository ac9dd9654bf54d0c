"""Raw recordings of any length, with or without transcripts, to segments with their texts."""
