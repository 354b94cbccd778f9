"""What stands between the network and Gradio: limits, checks and pauses for every request."""
