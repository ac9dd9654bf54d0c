"""Tables, curves and the page to listen to."""
