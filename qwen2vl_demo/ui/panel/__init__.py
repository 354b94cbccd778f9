"""The panel beside the chat: what became of a prompt, drawn as tabs."""
