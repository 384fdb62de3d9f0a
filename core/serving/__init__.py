"""How the app is run: environment, command line, ZeroGPU, and the API for programs."""
