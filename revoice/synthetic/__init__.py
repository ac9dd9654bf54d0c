"""A corpus that speaks: sentences of books and templates, read by published voices."""
