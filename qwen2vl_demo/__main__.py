"""`python -m qwen2vl_demo ask | inspect | bench | serve`"""

import sys

from qwen2vl_demo.cli import main

if __name__ == "__main__":
    sys.exit(main())
