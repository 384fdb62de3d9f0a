"""Run the command: python -m core.dictionary_training."""

from .trainer import main

if __name__ == "__main__":
    main()
