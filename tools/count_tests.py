#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Usage: count_tests.py REPORTS. Prints "passed failed skipped" of one ctest run: REPORTS/ctest.xml is its JUnit file,
the other *.xml are what the GoogleTest programs wrote; a program without such a file (script, crash) counts as one."""
import pathlib
import sys
import xml.etree.ElementTree as ET


def cases(report: pathlib.Path) -> tuple[int, int, int]:
    """(passed, failed, skipped) of one GoogleTest file."""
    total = failed = skipped = 0
    for case in ET.parse(report).iter("testcase"):
        total += 1
        if case.find("failure") is not None:
            failed += 1
        elif case.get("status") == "notrun" or case.get("result") in ("skipped", "suppressed"):
            skipped += 1
    return total - failed - skipped, failed, skipped


def main() -> int:
    folder = pathlib.Path(sys.argv[1])
    sums = [0, 0, 0]
    for test in ET.parse(folder / "ctest.xml").iter("testcase"):
        report = folder / (test.get("name").replace("/", "_") + ".xml")
        good = test.get("status") == "run"
        skip = test.get("status") in ("notrun", "disabled")
        counts = cases(report) if report.exists() else (int(good), 0, int(skip))
        if not good and not skip and counts[1] == 0:  # crashed, timed out, or a sanitizer spoke at the end
            counts = (counts[0], 1, counts[2])
        sums = [a + b for a, b in zip(sums, counts)]
    print(*sums)
    return 0


if __name__ == "__main__":
    sys.exit(main())
