"""`python -m calibrate`, for torchrun, which starts a module in each of its processes."""

from calibrate.cli import main

if __name__ == "__main__":
    main()
