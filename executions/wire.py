"""The bytes of a delivery, for each of the live doors."""

import json

from executions.live import Beat, Cursor, Delivery, End, Events, Reset, Truncated


def as_text(delivery: Delivery, name: str | None = None) -> str:
    """A websocket's frame: a JSON object with a `type`, and the `id` of its subscription where there are many."""
    whose = "" if name is None else f'"id":{json.dumps(name)},'
    match delivery:
        case Events(frames):
            events = ",".join(each.text for each in frames)
            return f'{{"type":"events",{whose}"events":[{events}]}}'
        case Beat():
            return '{"type":"hb"}'
        case Reset(epoch):
            return f'{{"type":"reset",{whose}"epoch":{epoch}}}'
        case Truncated(first_available):
            return f'{{"type":"truncated",{whose}"first_available":{first_available}}}'
        case End(status, last_seq):
            return f'{{"type":"end",{whose}"status":"{status}","last_seq":{last_seq}}}'


def as_sse(delivery: Delivery, epoch: int) -> bytes:
    """Server-sent events. The `id` of each is the cursor with which a reader goes on behind it."""
    match delivery:
        case Events(frames):
            return b"".join(_sse(each.kind, Cursor(each.seq, epoch), each.text) for each in frames)
        case Beat():
            return b": hb\n\n"
        case Reset(epoch):
            return _sse("reset", Cursor(0, epoch), json.dumps({"epoch": epoch}))
        case Truncated(first_available):
            text = json.dumps({"first_available": first_available})
            return _sse("truncated", Cursor(first_available - 1, epoch), text)
        case End(status, last_seq):
            text = json.dumps({"status": status, "last_seq": last_seq})
            return _sse("end", Cursor(last_seq, epoch), text)


def _sse(event: str, cursor: Cursor, text: str) -> bytes:
    return f"event: {event}\nid: {cursor}\ndata: {text}\n\n".encode()
