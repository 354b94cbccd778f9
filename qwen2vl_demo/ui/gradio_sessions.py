"""What Gradio keeps of each tab: the properties of all components, about 0.4 MB, and messages that nobody fetched.

Gradio keeps both after the tab was closed, the properties for the last 10,000 tabs and the messages for the last 2,000.
Here they go a moment after the tab.
"""

from __future__ import annotations

import datetime
from collections.abc import Collection
from typing import Any

# Beyond that the tab that was idle for longest loses its own; its components are then taken to be as they were drawn.
MAX_STATES = 500
KEEP = datetime.timedelta(seconds=30)  # since its last use: a call without a tab may still be running


def release_closed(app: Any, open_tabs: Collection[str]) -> None:
    """Drops what `app`, Gradio's application, keeps of tabs that are not among these session hashes."""
    states, queue = app.state_holder, app.get_blocks()._queue
    used, before = states.time_last_used, datetime.datetime.now() - KEEP
    for key in list(states.session_data):
        if key not in open_tabs and used.get(key, before) <= before:
            with states.lock:
                states.session_data.pop(key, None)
            used.pop(key, None)
    for key in list(queue.pending_messages_per_session):
        if key not in open_tabs and key not in states.session_data and not queue.pending_event_ids_session.get(key):
            queue.pending_messages_per_session.pop(key, None)
            queue.pending_event_ids_session.pop(key, None)
