"""Training of one part, from manifests of codes and tokens to a model."""
