"""Starts the page: `python app.py`, or a Hugging Face Space. `python app.py --help` lists the settings."""

import sys

from qwen2vl_demo.serve import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
