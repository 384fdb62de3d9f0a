"""Run the app: python -m core.page, as app.py does."""

from .launch import main

if __name__ == "__main__":
    main()
