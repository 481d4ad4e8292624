"""`python -m pvdrivers --cflags --libs`: what a C compiler needs to build against the library."""

import sys
from pathlib import Path

ROOT = Path(__file__).parent
FLAGS = {
    "--cflags": f"-I{ROOT / 'include'}",
    "--libs": f"-L{ROOT / 'lib'} -Wl,-rpath,{ROOT / 'lib'} -lpvdrivers",
}


def main(arguments: list[str]) -> None:
    unknown = [argument for argument in arguments if argument not in FLAGS]
    if unknown or not arguments:
        sys.stderr.write(f"usage: python -m pvdrivers [{'] ['.join(FLAGS)}]\n")
        raise SystemExit(2)
    print(*(FLAGS[argument] for argument in arguments))


if __name__ == "__main__":
    main(sys.argv[1:])
