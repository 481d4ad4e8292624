"""The sites of the handshakes over grant entries: see grants.py."""

from .sites import Site, Table

GUEST = Table(
    "ring/grant_table.c",
    (
        Site("publish", "pv_write_once_16", "&header->domid"),
        Site(
            "publish",
            "pv_store_release_16",
            "&header->flags",
            "What the entry grants, and the page's bytes, are visible before the entry is valid.",
        ),
        Site("set_frame", "pv_write_once", "&pv_grant_entry_v1(entries, ref)->frame"),
        Site("set_frame", "pv_write_once_64", "&pv_grant_entry_v2(entries, ref)->full_page.frame"),
        Site("pv_grant_publish_sub_page", "pv_write_once_16", "&entry->sub_page.page_off"),
        Site("pv_grant_publish_sub_page", "pv_write_once_16", "&entry->sub_page.length"),
        Site("pv_grant_publish_transitive", "pv_write_once_16", "&entry->transitive.trans_domid"),
        Site("pv_grant_publish_transitive", "pv_write_once", "&entry->transitive.gref"),
        Site(
            "pv_grant_query",
            "pv_load_acquire_16",
            "word",
            "What the peer wrote before its mark went away is read after.",
        ),
        Site("change_flags", "pv_read_once_16", "word"),
        Site(
            "change_flags",
            "pv_compare_exchange_16",
            "word",
            "What the peer wrote before its mark went away is read after.",
            "The peer's mark is not set meanwhile.",
        ),
        Site(
            "pv_grant_end",
            "pv_write_once_16",
            "&pv_grant_entry_v2(entries, ref)->hdr.flags",
        ),
        Site(
            "pv_grant_end",
            "pv_mb",
            "",
            "The entry is closed before the guest looks whether the peer has marked it.",
        ),
        Site(
            "pv_grant_make_readonly",
            "pv_fetch_or_16",
            "&pv_grant_entry_v2(entries, ref)->hdr.flags",
            "The right is taken away before the guest looks whether the peer writes.",
        ),
        Site(
            "pv_grant_make_writable",
            "pv_fetch_and_16",
            "&pv_grant_entry_header(entries, ref)->flags",
            "What the guest did to the page comes before what the peer may write.",
            "The peer's mark, set meanwhile, is not lost.",
        ),
        Site(
            "pv_grant_end_transfer",
            "pv_load_acquire_16",
            "word",
            "The page that has come is used after the flag says so.",
        ),
        Site("pv_grant_end_transfer", "pv_read_once", "&pv_grant_entry_v1(entries, ref)->frame"),
        Site(
            "pv_grant_end_transfer",
            "pv_read_once_64",
            "&pv_grant_entry_v2(entries, ref)->full_page.frame",
        ),
        Site("pv_grant_end_transfer", "pv_write_once_16", "word"),
    ),
)
HYPERVISOR = Table(
    "pvdrivers/sim/grants/entry.c",
    (
        Site(
            "grant_clear_marks",
            "pv_read_once_16",
            "&pv_grant_entry_header(entries, ref)->flags",
        ),
        Site(
            "grant_clear_marks",
            "pv_fetch_and_16",
            "marks(entries, ref)",
            "What was done to the page is done before the guest may take it back.",
            "Version 1: what the guest does to its flags meanwhile is not lost.",
        ),
        Site("mark_v1", "pv_read_once", "word"),
        Site(
            "mark_v1",
            "pv_compare_exchange",
            "word",
            "The entry's page is read, and used, after it is marked.",
            "The guest does not close the entry between check and mark.",
        ),
        Site("mark_v2", "pv_read_once", "word"),
        Site(
            "mark_v2",
            "pv_fetch_or_16",
            "&entries->status[ref]",
            "The mark is visible before we look whether the guest has closed the entry.",
        ),
        Site(
            "mark_v2",
            "pv_load_acquire",
            "word",
            "The entry's page is read after the flags that make it valid.",
        ),
        Site("read_entry", "pv_read_once", "&pv_grant_entry_v1(entries, ref)->frame"),
        Site("read_entry", "pv_read_once_16", "&entry->transitive.trans_domid"),
        Site("read_entry", "pv_read_once", "&entry->transitive.gref"),
        Site("read_entry", "pv_read_once_64", "&entry->full_page.frame"),
        Site("read_entry", "pv_read_once_16", "&entry->sub_page.page_off"),
        Site("read_entry", "pv_read_once_16", "&entry->sub_page.length"),
    ),
    frozenset(["grant_clear_marks", "mark_v1", "mark_v2", "read_entry"]),
)
TRANSFERS = Table(
    "pvdrivers/sim/grants/transfer.c",
    (
        Site("commit", "pv_read_once", "word"),
        Site(
            "commit",
            "pv_compare_exchange",
            "word",
            "The entry's frame is read after it is committed.",
            "The guest does not take the entry back between check and mark.",
        ),
        Site("wanted_gfn", "pv_read_once", "&pv_grant_entry_v1(entries, ref)->frame"),
        Site("wanted_gfn", "pv_read_once_64", "&pv_grant_entry_v2(entries, ref)->full_page.frame"),
        Site(
            "finish",
            "pv_fetch_or_16",
            "&header->flags",
            "The page is in place before the guest is told so.",
        ),
        Site("finish", "pv_fetch_and_16", "&header->flags"),
    ),
    frozenset(["commit", "wanted_gfn", "finish"]),
)
TABLES = (GUEST, HYPERVISOR, TRANSFERS)
