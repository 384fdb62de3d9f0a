"""Run the command: python -m core.faithfulness."""

from .measure import main

if __name__ == "__main__":
    main()
