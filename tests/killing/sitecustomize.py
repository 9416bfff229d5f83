"""Python runs this file at its start where this folder is on PYTHONPATH: the process kills itself at a chosen moment.

JAXCAM_TEST_KILL holds `EVENT PART COUNT`: an audit event of Python (`open`, `os.rename`, ...), a part of its arguments,
and how many such events it takes. The signal is SIGKILL, sent before the event's action is done.
"""

import os
import signal
import sys
import threading

_event, _part, _left = os.environ["JAXCAM_TEST_KILL"].split(" ")
_left = int(_left)
_lock = threading.Lock()


def _watch(event, arguments):
    global _left
    if event == _event and _part in str(arguments):
        with _lock:
            _left -= 1
            if _left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


sys.addaudithook(_watch)
