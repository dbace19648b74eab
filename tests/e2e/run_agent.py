"""The `agent` script of this checkout, whether or not it is installed."""

from agent.cli import main

if __name__ == "__main__":
    main()
