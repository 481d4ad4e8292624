"""The sites of the handshakes of event channels: events_2l.py, events_fifo.py, event_setup.py."""

from .sites import Site, Table

TWO_LEVEL_FUNCTIONS = frozenset(
    "pv_event_is_pending pv_event_is_masked pv_event_clear_pending pv_event_mask pv_event_unmask "
    "scan_bits scan_2l pv_event_scan".split()
)
TWO_LEVEL_GUEST = Table(
    "ring/event_channel.c",
    (
        Site(
            "pv_event_is_pending",
            "pv_load_acquire",
            "bit.word",
            "A poller that finds the bit set sees what was written before.",
        ),
        Site("pv_event_is_masked", "pv_read_once", "bit.word"),
        Site(
            "pv_event_clear_pending",
            "pv_fetch_and",
            "bit.word",
            "The bit is cleared before what the sender wrote is read.",
            "Another port's bit, set meanwhile, is not lost.",
        ),
        Site(
            "pv_event_mask",
            "pv_fetch_or",
            "bit.word",
            step="Another port's bit, changed meanwhile, stays so.",
        ),
        Site(
            "pv_event_unmask",
            "pv_fetch_and",
            "bit.word",
            "The mask is off before the guest looks whether the event is pending.",
            "Another port's bit, changed meanwhile, stays so.",
        ),
        Site(
            "pv_event_unmask",
            "pv_fetch_or",
            "bit.word",
            step="Another port's bit, changed meanwhile, stays so.",
        ),
        Site("scan_bits", "pv_read_once", "pending.word"),
        Site("scan_bits", "pv_read_once", "mask.word"),
        Site("scan_2l", "pv_read_once", "selected"),
        Site(
            "scan_2l",
            "pv_exchange",
            "selected",
            "The words are no longer selected before they are read.",
            "A word selected meanwhile stays so.",
        ),
        Site(
            "scan_2l",
            "pv_fetch_or",
            "selected",
            step="A word selected meanwhile stays so.",
        ),
        Site("scan_2l", "pv_write_once_byte", "pv_event_upcall_pending(view)"),
        Site("pv_event_scan", "pv_read_once_byte", "upcall_pending"),
        Site(
            "pv_event_scan",
            "pv_exchange_byte",
            "upcall_pending",
            "The upcall is taken before the guest looks what it was for.",
        ),
    ),
    TWO_LEVEL_FUNCTIONS,
)
TWO_LEVEL_SENDER = Table(
    "pvdrivers/sim/events/two_level.c",
    (
        Site(
            "select_word",
            "pv_fetch_or",
            "selector.word",
            step="A word that the guest selects again meanwhile stays so.",
        ),
        Site(
            "set_pending_2l",
            "pv_fetch_or",
            "pending.word",
            "What the sender wrote is visible, and then the bit, before we look at the mask.",
            "A bit that the guest clears meanwhile does not come back.",
        ),
        Site(
            "unmask_2l",
            "pv_fetch_and",
            "mask.word",
            "The mask is off before we look whether the event is pending.",
            "Another port's bit, changed meanwhile, stays so.",
        ),
    ),
)
UPCALL = Table(
    "pvdrivers/sim/events/kernel.c",
    (Site("send_upcall", "pv_exchange_byte", "pv_event_upcall_pending(view)"),),
    frozenset(["send_upcall"]),
)
SEND = Table(
    "pvdrivers/sim/events/channel.c",
    (
        Site("is_pending_already", "pv_read_once", "&d->event_channels.fifo"),
        Site(
            "is_pending_already",
            "pv_mb",
            "",
            "What the sender wrote is visible before the event is left to an earlier one.",
        ),
    ),
    frozenset(["is_pending_already"]),
)
TWO_LEVEL = (TWO_LEVEL_GUEST, TWO_LEVEL_SENDER, UPCALL, SEND)

FIFO_GUEST = Table(
    "ring/event_channel.c",
    (
        Site("fifo_unmask", "pv_read_once", "word"),
        Site(
            "fifo_unmask",
            "pv_compare_exchange",
            "word",
            step="An event raised meanwhile is found, or finds no mask.",
        ),
        Site("clear_linked", "pv_read_once", "word"),
        Site(
            "clear_linked",
            "pv_compare_exchange",
            "word",
            step="A port that is linked behind it meanwhile is found.",
        ),
        Site("pop_fifo", "pv_read_once", "&view->control_block->head[priority]"),
        Site(
            "scan_fifo",
            "pv_exchange",
            "shared_ready",
            step="A queue that becomes ready meanwhile stays so.",
        ),
        Site(
            "scan_fifo",
            "pv_exchange",
            "shared_ready",
            step="A queue that becomes ready meanwhile stays so.",
        ),
        Site(
            "scan_fifo",
            "pv_fetch_or",
            "shared_ready",
            step="A queue that becomes ready meanwhile stays so.",
        ),
        Site("scan_fifo", "pv_write_once_byte", "pv_event_upcall_pending(view)"),
    ),
    frozenset(["fifo_unmask", "clear_linked", "pop_fifo", "scan_fifo"]),
)
FIFO_SENDER = Table(
    "pvdrivers/sim/events/fifo.c",
    (
        Site(
            "try_set_link",
            "pv_compare_exchange",
            "word",
            step="The guest takes the tail out of its queue with what is linked behind it.",
        ),
        Site("set_link", "pv_read_once", "word"),
        Site(
            "set_link",
            "pv_fetch_or",
            "word",
            step="A tail that the guest takes out of its queue meanwhile stays out.",
        ),
        Site("set_link", "pv_read_once", "word"),
        Site(
            "set_link",
            "pv_fetch_and",
            "word",
            step="A mask that the guest sets meanwhile stays.",
        ),
        Site(
            "link_port",
            "pv_fetch_or",
            "word",
            step="A mask that the guest sets meanwhile stays.",
        ),
        Site("link_port", "pv_write_once", "&view->control_block->head[chn->priority]"),
        Site(
            "link_port",
            "pv_fetch_or",
            "&view->control_block->ready",
            "The head is there before its queue is ready.",
            "A queue that the guest makes ready again meanwhile stays so.",
        ),
        Site(
            "set_pending_fifo",
            "pv_fetch_or",
            "word",
            "What the sender wrote is visible before the event is.",
            "A mask that the guest sets meanwhile stays.",
        ),
        Site("set_pending_fifo", "pv_read_once", "word"),
        Site(
            "unmask_fifo",
            "pv_fetch_and",
            "word",
            step="A port that another vcpu takes out of its queue meanwhile stays out.",
        ),
        Site("unmask_fifo", "pv_read_once", "word"),
    ),
    frozenset("try_set_link set_link link_port set_pending_fifo unmask_fifo".split()),
)
FIFO = (FIFO_GUEST, FIFO_SENDER)

VIEW = Table(
    "pvdrivers/sim/events/kernel.c",
    (
        Site("event_view", "pv_read_once", "&ec->fifo"),
        Site(
            "event_view",
            "pv_load_acquire_64",
            "&fifo->control_mfn",
            "What the control block holds, and where it lies, is read after (XSA-358).",
        ),
        Site(
            "event_view",
            "pv_load_acquire",
            "&ec->event_frame_count",
            "The pages are read after the count that covers them (XSA-359).",
        ),
    ),
    frozenset(["event_view"]),
)
SET_UP = Table(
    "pvdrivers/sim/events/fifo.c",
    (
        Site(
            "set_control_block",
            "pv_store_release_64",
            "&fifo->control_mfn",
            "The queues are empty before anybody finds the control block (XSA-358).",
        ),
        Site(
            "add_event_page",
            "pv_store_release",
            "&ec->event_frame_count",
            "The page is in the array before the count covers it (XSA-359).",
        ),
    ),
    frozenset(["set_control_block", "add_event_page"]),
)
SETTING_UP = (VIEW, SET_UP)
