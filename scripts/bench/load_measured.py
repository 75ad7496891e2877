"""`python load_measured.py FILE ARGUMENTS...` is `rmlab ARGUMENTS...`; FILE then says what it has used."""

from __future__ import annotations

import atexit
import json
import resource
import sys
from pathlib import Path

from rmlab.cli import main


def tell(file: Path) -> None:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    peak, cpu = max(u.ru_maxrss for u in used) / 1024, sum(u.ru_utime + u.ru_stime for u in used)
    file.write_text(json.dumps({"megabytes": peak, "cpu": cpu}))


if __name__ == "__main__":
    atexit.register(tell, Path(sys.argv.pop(1)))
    main()
