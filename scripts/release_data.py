"""Makes the embedding set that the project ships, in data/released (`make release-data`).

    python scripts/release_data.py            under 90 minutes on 2 cores; interrupted, it goes on
    python scripts/release_data.py --tiny     the same steps in a minute, with stand-ins, in artifacts/tiny

More arguments are settings: python scripts/release_data.py sampling.n_test=80
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rmlab.processes import run

ROOT = Path(__file__).parents[1]
NAME = "openings-smollm2"
LIMIT = 32_000_000  # bytes of the whole folder
TINY = (
    "model=random-tiny",
    "prompts.n_train=6",
    "prompts.n_test=4",
    "demonstrations.n=4",
    "sft.epochs=1",
    "sampling.n_train=3",
    "sampling.n_test=4",
    "sft.max_tokens=1024",
    "sampling.max_new_tokens=8",
)


def rmlab(*arguments: str) -> None:
    done = run([sys.executable, "-m", "rmlab", *arguments], cwd=ROOT)
    if done.returncode:
        sys.exit(done.returncode)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="stand-ins for the models, a few prompts")
    parser.add_argument(
        "--out", type=Path, help="folder of the set; default: data/released, or artifacts/tiny"
    )
    parser.add_argument("--force", action="store_true", help="replace a set that is there")
    given, settings = parser.parse_known_args()
    place = given.out or (ROOT / ("artifacts/tiny" if given.tiny else "data/released") / NAME)
    out = place.resolve()  # the commands run in another folder
    license_file = f"release.license_file={ROOT / 'LICENSE'}"
    force = ["--force"] if given.force else []
    sizes = TINY if given.tiny else ()
    rmlab("release", str(out), "experiment=release", license_file, *sizes, *settings, *force)
    rmlab("validate", str(out))
    size = sum(file.stat().st_size for file in out.iterdir())
    print(f"{out}: {size / 1e6:.1f} MB of {LIMIT / 1e6:.0f} MB")
    if size > LIMIT:
        sys.exit(f"{out} is too large to ship; lower sampling.n_test, or the number of prompts")


if __name__ == "__main__":
    main()
