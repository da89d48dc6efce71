"""``python -m spt_explain``: the command line, for ``torchrun`` and for scripts."""

from spt_explain.cli import main

if __name__ == "__main__":
    main()
