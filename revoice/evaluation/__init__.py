"""What a trained model is worth: loss and accuracy, speech and its measures."""
