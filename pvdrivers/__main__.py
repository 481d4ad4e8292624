"""Where the C parts are, for compilers and loaders.

--cflags, --libs  what a C compiler needs to build against the library
--dropin          the folder of the drop-in Xen libraries, for LD_LIBRARY_PATH
"""

import sys
from pathlib import Path

ROOT = Path(__file__).parent
FLAGS = {
    "--cflags": f"-I{ROOT / 'include'}",
    "--libs": f"-L{ROOT / 'lib'} -Wl,-rpath,{ROOT / 'lib'} -lpvdrivers",
    "--dropin": str(ROOT / "lib" / "dropin"),
}


def main(arguments: list[str]) -> None:
    unknown = [argument for argument in arguments if argument not in FLAGS]
    if unknown or not arguments:
        sys.stderr.write(f"usage: python -m pvdrivers [{'] ['.join(FLAGS)}]\n")
        raise SystemExit(2)
    print(*(FLAGS[argument] for argument in arguments))


if __name__ == "__main__":
    main(sys.argv[1:])
