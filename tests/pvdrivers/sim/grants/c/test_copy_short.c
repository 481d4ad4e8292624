/* Short copies between local memory and grants, which the seam does under one lock: each fares as
 * the hypercall of one element does, and a killed process leaves nothing behind. */
#include "grant_test.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define COPIES 400
#define SPACING 4096

static struct fixture f;
static uint8_t local[COPIES][SPACING];

static void nothing_stays_in_use(void)
{
    for (domid_t domid = 0; domid < DOMAINS; domid++) {
        for (grant_ref_t ref = 0; ref < 32; ref++) {
            assert(PINS(&f, domid, ref) == 0);
            assert(f.table[domid].version == 1 || f.table[domid].status[ref] == 0);
            assert(!(flags_of(&f, domid, ref) & (GTF_reading | GTF_writing)));
        }
        for (uint64_t gfn = 0; gfn < PAGES; gfn++)
            assert(references(&f, domid, gfn) == 1);
    }
}

static void publish(uint32_t version)
{
    const struct pv_grant_entries *front = &f.table[FRONT];
    set_version(&f, FRONT, version);
    pv_grant_publish(front, 8, BACK, 5, true);
    pv_grant_publish(front, 9, BACK, 6, false);
    pv_grant_publish(front, 10, THIRD, 7, false);
    pv_grant_publish(front, 11, BACK, PAGES, false); /* there is no such page */
    if (version == 2) {
        pv_grant_publish_sub_page(front, 12, BACK, 8, 1000, 100, false);
        pv_grant_publish(&f.table[THIRD], 8, FRONT, 7, false);
        pv_grant_publish_transitive(front, 13, BACK, THIRD, 8, false);
    }
    pv_grant_publish(&f.table[WIDE], 8, BACK, 5, false);
}

static struct pv_grant_copy any_copy(bool writes, uint8_t *address)
{
    static const uint16_t offsets[] = {0, 1, 999, 1000, 1090, 2100, 4095, 9000, 16383};
    static const uint16_t lengths[] = {0, 1, 8, 100, 2048, 2049, 4096};
    const struct pv_grant_copy_end granted = {.ref = rand() % 40 ? 8 + (uint32_t)rand() % 7 : 5000,
                                              .domid = rand() % 8 ? FRONT : WIDE,
                                              .offset = offsets[(unsigned)rand() % 9]};
    const struct pv_grant_copy_end own = {.address = rand() % 50 ? address : NULL,
                                          .domid = DOMID_SELF};
    return (struct pv_grant_copy){.source = writes ? own : granted,
                                  .dest = writes ? granted : own,
                                  .len = lengths[(unsigned)rand() % 7],
                                  .flags = writes ? GNTCOPY_dest_gref : GNTCOPY_source_gref,
                                  .status = 1};
}

/* The status of the hypercall, and with it the copy itself, from or to the caller's page 1. */
static int16_t alone(const struct pv_grant_copy *c, bool writes)
{
    const struct pv_grant_copy_end *granted = writes ? &c->dest : &c->source;
    if (writes)
        return copy(&f, BACK, to_grant(1, granted->domid, granted->ref, granted->offset, c->len));
    return copy(&f, BACK, from_grant(granted->domid, granted->ref, granted->offset, c->len, 1));
}

static void each_fares_as_alone(bool writes, uint32_t version)
{
    static struct pv_grant_copy copies[COPIES];
    unsigned good = 0;
    f = set_up();
    publish(version);
    for (unsigned i = 0; i < COPIES; i++) {
        memset(local[i], (int)i, SPACING);
        copies[i] = any_copy(writes, local[i]);
    }
    assert(f.hv[BACK]->ops->gnttab_copy(f.hv[BACK], copies, COPIES) == 0);
    nothing_stays_in_use();
    for (unsigned i = 0; i < COPIES; i++) {
        bool has_memory = (writes ? copies[i].source : copies[i].dest).address;
        assert(has_memory ? copies[i].status == alone(&copies[i], writes)
                          : copies[i].status != GNTST_okay || copies[i].len == 0);
        good += copies[i].status == GNTST_okay && copies[i].len > 0;
    }
    assert(good > COPIES / 20);
    tear_down(&f);
}

static void bytes_arrive_and_no_others(void)
{
    f = set_up();
    publish(1);
    for (unsigned i = 0; i < 4096; i++)
        page_of(&f, FRONT, 5)[i] = (uint8_t)(i * 7 + 1);
    memset(local[0], 0, SPACING);
    memset(local[1], 0xEE, SPACING);
    struct pv_grant_copy copies[2] = {{.source = {.ref = 8, .domid = FRONT, .offset = 100},
                                       .dest = {.address = local[0] + 8, .domid = DOMID_SELF},
                                       .len = 64,
                                       .flags = GNTCOPY_source_gref},
                                      {.source = {.address = local[1] + 8, .domid = DOMID_SELF},
                                       .dest = {.ref = 9, .domid = FRONT, .offset = 4032},
                                       .len = 64,
                                       .flags = GNTCOPY_dest_gref}};
    assert(f.hv[BACK]->ops->gnttab_copy(f.hv[BACK], copies, 2) == 0);
    assert(copies[0].status == GNTST_okay && copies[1].status == GNTST_okay);
    assert(memcmp(local[0] + 8, page_of(&f, FRONT, 5) + 100, 64) == 0);
    assert(local[0][7] == 0 && local[0][72] == 0);
    const uint8_t *page = page_of(&f, FRONT, 6);
    assert(page[4031] == 0 && page[4032] == 0xEE && page[4095] == 0xEE);
    nothing_stays_in_use();
    tear_down(&f);
}

/* XSA-230. */
static void marks_of_a_map_stay(void)
{
    f = set_up();
    publish(1);
    struct gnttab_map_grant_ref op = map(&f, BACK, FRONT, 9, GNTMAP_device_map);
    struct pv_grant_copy c = {.source = {.ref = 9, .domid = FRONT},
                              .dest = {.address = local[0], .domid = DOMID_SELF},
                              .len = 64,
                              .flags = GNTCOPY_source_gref};
    assert(f.hv[BACK]->ops->gnttab_copy(f.hv[BACK], &c, 1) == 0 && c.status == GNTST_okay);
    assert(pv_grant_query(&f.table[FRONT], 9) == (GTF_reading | GTF_writing));
    assert(unmap(&f, BACK, &op, GNTMAP_device_map) == GNTST_okay);
    nothing_stays_in_use();
    tear_down(&f);
}

/* Memory that is not there kills the process in the middle of the bytes, when the grants of the
 * copies before and behind are in use as well. */
static void killed_while_moving(bool writes, uint32_t version)
{
    f = set_up();
    publish(version);
    pv_grant_publish(&f.table[FRONT], 14, BACK, 9, false);
    pid_t child = fork();
    assert(child >= 0);
    if (child == 0) {
        f.machine->client = 9; /* as if it had attached by itself */
        signal(SIGSEGV, SIG_DFL);
        void *nothing = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        struct pv_grant_copy copies[3];
        for (unsigned i = 0; i < 3; i++) {
            const struct pv_grant_copy_end own = {.address = i == 1 ? nothing : local[i],
                                                  .domid = DOMID_SELF};
            const struct pv_grant_copy_end granted = {.ref = i == 2 ? 14 : 9, .domid = FRONT};
            copies[i] =
                (struct pv_grant_copy){.source = writes ? own : granted,
                                       .dest = writes ? granted : own,
                                       .len = 64,
                                       .flags = writes ? GNTCOPY_dest_gref : GNTCOPY_source_gref};
        }
        f.hv[BACK]->ops->gnttab_copy(f.hv[BACK], copies, 3);
        _exit(0);
    }
    int status;
    assert(waitpid(child, &status, 0) == child && WIFSIGNALED(status));
    for (grant_ref_t ref = 9; ref <= 14; ref += 5)
        assert(flags_of(&f, FRONT, ref) & GTF_reading || f.table[FRONT].status[ref] & GTF_reading);
    grants_subsystem.client_left(f.machine, 9);
    nothing_stays_in_use();
    assert(copy(&f, BACK, to_grant(1, FRONT, 9, 0, 64)) == GNTST_okay);
    assert(copy(&f, BACK, to_grant(1, FRONT, 14, 0, 64)) == GNTST_okay);
    tear_down(&f);
}

int main(void)
{
    bytes_arrive_and_no_others();
    marks_of_a_map_stay();
    for (uint32_t version = 1; version <= 2; version++) {
        for (int writes = 0; writes < 2; writes++) {
            each_fares_as_alone(writes, version);
            killed_while_moving(writes, version);
        }
    }
    return 0;
}
