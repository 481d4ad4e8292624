/*
 * Two domains share pages through Xen's libraries and wake each other. Every line of output is
 * something seen, for the test to judge.
 *
 *   pages share DOMID           shares two pages and one with a notice, prints the port and refs
 *   pages map DOMID PORT REF REF NOTICE_REF
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <xenevtchn.h>
#include <xengnttab.h>

#define PAGE 4096
#define NOTICE_OFFSET 100

static void need(int condition, const char *what)
{
    if (!condition) {
        perror(what);
        exit(1);
    }
}

static void wait_for(xenevtchn_handle *events, evtchn_port_t port)
{
    struct pollfd readable = {.fd = xenevtchn_fd(events), .events = POLLIN};
    need(poll(&readable, 1, 30000) == 1, "poll");
    need(xenevtchn_pending(events) == (int)port, "xenevtchn_pending");
    need(!xenevtchn_unmask(events, port), "xenevtchn_unmask");
}

static void share(xenevtchn_handle *events, uint32_t peer)
{
    xengntshr_handle *shares = xengntshr_open(NULL, 0);
    need(shares != NULL, "xengntshr_open");
    int port = xenevtchn_bind_unbound_port(events, peer);
    need(port > 0, "xenevtchn_bind_unbound_port");
    uint32_t refs[2], notice_ref;
    char *pages = xengntshr_share_pages(shares, peer, 2, refs, 1);
    need(pages != NULL, "xengntshr_share_pages");
    char *notice = xengntshr_share_page_notify(shares, peer, &notice_ref, 1, NOTICE_OFFSET, -1);
    need(notice != NULL, "xengntshr_share_page_notify");
    strcpy(pages + PAGE, "from the second page");
    notice[NOTICE_OFFSET] = notice[NOTICE_OFFSET + 1] = 1;
    printf("%d %u %u %u\n", port, refs[0], refs[1], notice_ref);
    fflush(stdout);
    wait_for(events, port);
    printf("%s\n", pages);
    need(!xenevtchn_notify(events, port), "xenevtchn_notify");
    wait_for(events, port); /* the peer unmapped, and its notice came with an event */
    printf("%d %d\n", notice[NOTICE_OFFSET], notice[NOTICE_OFFSET + 1]);
    need(!xengntshr_unshare(shares, pages, 2), "xengntshr_unshare");
    need(!xengntshr_unshare(shares, notice, 1), "xengntshr_unshare");
    need(!xengntshr_close(shares), "xengntshr_close");
}

static void copy_through(xengnttab_handle *grants, uint32_t peer, uint32_t ref)
{
    char text[32] = "";
    xengnttab_grant_copy_segment_t copies[2] = {0};
    for (int i = 0; i < 2; i++) {
        copies[i].source.foreign.domid = peer;
        copies[i].source.foreign.ref = i ? 9999 : ref;
        copies[i].dest.virt = text;
        copies[i].len = sizeof text;
        copies[i].flags = GNTCOPY_source_gref;
    }
    need(!xengnttab_grant_copy(grants, 2, copies), "xengnttab_grant_copy");
    printf("%d %d %s\n", copies[0].status, copies[1].status, text);
}

static void map(xenevtchn_handle *events, uint32_t peer, char **arguments)
{
    xengnttab_handle *grants = xengnttab_open(NULL, 0);
    need(grants != NULL, "xengnttab_open");
    int port = xenevtchn_bind_interdomain(events, peer, atoi(arguments[0]));
    need(port > 0, "xenevtchn_bind_interdomain");
    wait_for(events, port); /* a new binding is pending once */
    uint32_t refs[2] = {atoi(arguments[1]), atoi(arguments[2])}, notice_ref = atoi(arguments[3]);
    uint32_t domids[2] = {peer, peer};
    char *pages = xengnttab_map_grant_refs(grants, 2, domids, refs, PROT_READ | PROT_WRITE);
    need(pages != NULL, "xengnttab_map_grant_refs");
    char *again = xengnttab_map_domain_grant_refs(grants, 2, peer, refs, PROT_READ);
    need(again != NULL, "xengnttab_map_domain_grant_refs");
    char *notice = xengnttab_map_grant_ref_notify(grants, peer, notice_ref, PROT_READ | PROT_WRITE,
                                                  NOTICE_OFFSET, port);
    need(notice != NULL, "xengnttab_map_grant_ref_notify");
    printf("%s\n", again + PAGE);
    copy_through(grants, peer, refs[1]);
    uint32_t wrong[2] = {refs[0], 9999};
    printf("%d", xengnttab_map_domain_grant_refs(grants, 2, peer, wrong, PROT_READ) == NULL);
    printf(" %s\n", strerrorname_np(errno));
    strcpy(pages, "from the mapper");
    need(!xenevtchn_notify(events, port), "xenevtchn_notify");
    wait_for(events, port);
    fcntl(xenevtchn_fd(events), F_SETFL, O_NONBLOCK);
    printf("%d", xenevtchn_pending(events));
    printf(" %s\n", strerrorname_np(errno));
    need(!xengnttab_unmap(grants, pages, 2), "xengnttab_unmap");
    need(!xengnttab_unmap(grants, again, 2), "xengnttab_unmap");
    printf("%d", xengnttab_unmap(grants, again, 2));
    printf(" %s\n", strerrorname_np(errno));
    exit(0); /* with the last page mapped */
}

int main(int argc, char **argv)
{
    xenevtchn_handle *events = xenevtchn_open(NULL, 0);
    need(argc > 2 && events, "xenevtchn_open");
    uint32_t peer = atoi(argv[2]);
    if (!strcmp(argv[1], "share"))
        share(events, peer);
    else
        map(events, peer, argv + 3);
    return xenevtchn_close(events);
}
