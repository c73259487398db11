"""Look-ups in a full memory of proposals: a JSON line on stdout for those that hit and for those that miss.

Every proposal was made on one line of a long file, so all have the same suffix and nearly the same prefix. Times are
the thread's own.
"""

import json
import statistics
import time

from midfill.server.reuse import MAX_PROPOSALS, SITUATION_CHARS, Reuse, Situation

LOOKUPS = 1000
ABOVE = "".join(f"    value_{number} = compute(argument, other)  # why\n" for number in range(100))
AFTER = ABOVE[:SITUATION_CHARS]
TEXT = "total = compute(value, argument)\n    return total\n" * 4


def situation(typed: str) -> Situation:
    return Situation((ABOVE + typed)[-SITUATION_CHARS:], AFTER)


def main() -> None:
    reuse = Reuse()
    for number in range(MAX_PROPOSALS):
        reuse.remember("bench", situation("    x" * number + "    "), TEXT)
    for kind, typed in (("hit", "    x    total"), ("miss", "    y")):
        asked = [situation(typed) for _ in range(LOOKUPS)]
        times: list[float] = []
        for each in asked:
            started = time.thread_time()
            found = reuse.left("bench", each)
            times.append((time.thread_time() - started) * 1e3)
            assert bool(found) == (kind == "hit")
        p95 = statistics.quantiles(times, n=20)[-1]
        result = {
            "bench": "reuse",
            "lookup": kind,
            "p50_ms": round(statistics.median(times), 4),
            "p95_ms": round(p95, 4),
        }
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
