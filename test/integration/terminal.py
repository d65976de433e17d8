"""Runs a command on a pseudo terminal, as a person would: waits for texts, types, hangs up. Standard library only.

Reads {"command": [...], "steps": [{"wait": text, "type": text} | {"wait": text, "hangUp": true}]} from stdin, where a
typed \\u0003 is Ctrl-C and \\u0004 Ctrl-D; writes {"code": n, "output": text} to stdout.
"""
import json
import os
import pty
import select
import signal
import sys
import time

SECONDS = 90
spec = json.load(sys.stdin)
pid, terminal = pty.fork()
if pid == 0:
    os.execvp(spec["command"][0], spec["command"])

end = time.monotonic() + SECONDS
output = ""


def read():
    """What the command has printed since; False once it has ended."""
    global output
    if time.monotonic() > end:
        os.kill(pid, signal.SIGKILL)
        raise SystemExit(f"not within {SECONDS} s; so far:\n{output}")
    if not select.select([terminal], [], [], 0.2)[0]:
        return True
    try:
        data = os.read(terminal, 65536)
    except OSError:
        return False
    output += data.decode(errors="replace")
    return data != b""


reached = 0
is_open = True
for step in spec["steps"]:
    while step["wait"] not in output[reached:]:
        if not read():
            raise SystemExit(f"ended before {step['wait']!r}:\n{output}")
    reached = output.index(step["wait"], reached) + len(step["wait"])
    if step.get("hangUp"):
        os.close(terminal)
        is_open = False
    else:
        os.write(terminal, step["type"].encode())
while is_open and read():
    pass
_, status = os.waitpid(pid, 0)
json.dump({"code": os.waitstatus_to_exitcode(status), "output": output}, sys.stdout)
