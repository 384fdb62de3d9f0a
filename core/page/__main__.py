"""Run the app: python -m core.page, as app.py does."""

from .command import main

if __name__ == "__main__":
    main()
