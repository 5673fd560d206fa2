"""Checks a trace: valid JSON, and events that make sense.

usage: tracecheck.py FILE            prints what is wrong, and fails; else prints the number of events
       tracecheck.py --races FILE    prints a line for each race: PROGRAM HOST WINNER RESULT-OF-EACH-ATTEMPT
"""
import json
import sys


def races(events):
    programs = {e["pid"]: e["args"]["name"] for e in events if e["ph"] == "M" and e["name"] == "process_name"}
    spans = [e for e in events if e["ph"] == "X"]
    attempts_of = {}
    for e in spans:
        if e["cat"] == "attempt":
            attempts_of.setdefault((e["pid"], e["args"]["connection"]), []).append(e)
    for race in (e for e in spans if e["cat"] == "race"):
        attempts = attempts_of.get((race["pid"], race["args"]["connection"]), [])
        attempts.sort(key=lambda e: e["args"]["order"])
        yield programs.get(race["pid"]), race, attempts


def complaints(events):
    for e in events:
        if not {"ph", "name", "pid", "tid"} <= e.keys():
            yield "incomplete: %s" % e
        if e["ph"] == "X" and not (e["ts"] > 0 and e["dur"] >= 0):
            yield "no interval: %s" % e
    pids = {e["pid"] for e in events if e["ph"] == "M" and e["name"] == "process_name"}
    for e in events:
        if e["pid"] not in pids:
            yield "process %d has no name" % e["pid"]
    for program, race, attempts in races(events):
        won = [e["name"] for e in attempts if e["args"]["result"] == "won"]
        if won != [race["args"][key] for key in ("winner",) if key in race["args"]]:
            yield "winners of connection %d: %s" % (race["args"]["connection"], won)
        for e in attempts:
            if not race["ts"] - 1 <= e["ts"] <= e["ts"] + e["dur"] <= race["ts"] + race["dur"] + 1:
                yield "outside its race: %s" % e


def main():
    try:
        with open(sys.argv[-1]) as f:
            events = json.load(f)
    except ValueError as e:
        sys.exit("no JSON: %s" % e)
    if sys.argv[1] == "--races":
        for program, race, attempts in races(events):
            print(program, race["args"].get("host", "-"), race["args"].get("winner", "-"),
                  *[e["name"] + "=" + e["args"]["result"] for e in attempts])
        return
    for complaint in complaints(events):
        sys.exit(complaint[:300])
    print(len(events))


main()
