"""The page (Gradio). The only room that imports gradio."""
