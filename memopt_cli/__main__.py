"""``python -m memopt_cli`` is ``memopt``."""

from memopt_cli.cli.app import main

if __name__ == "__main__":
    main()
