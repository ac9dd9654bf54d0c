"""The AR and the NAR: architecture, losses, files, what fine-tuning changes, generation."""
