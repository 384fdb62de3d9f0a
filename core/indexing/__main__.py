"""Run the command: python -m core.indexing."""

from .build import main

if __name__ == "__main__":
    main()
