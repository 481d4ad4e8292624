/* A guest that changes a word just before each of the hypervisor's compare-and-swaps is given up
 * after five of them, and only that guest loses anything (XSA-295). The code under test is
 * compiled in here, with a compare-and-swap that lets the guest go first. */
#include "pvdrivers/ring/barrier.h"

static void (*guest)(uint32_t *word); /* runs before each; NULL: the guest is quiet */
static unsigned attempts;

static uint32_t contended_compare_exchange(uint32_t *p, uint32_t expected, uint32_t value)
{
    attempts++;
    if (guest)
        guest(p);
    return pv_compare_exchange(p, expected, value);
}

#define pv_compare_exchange contended_compare_exchange
#include "pvdrivers/sim/events/fifo.c"
#include "pvdrivers/sim/grants/entry.c"
#undef CMPXCHG_TRIES
#include "pvdrivers/sim/grants/transfer.c"
#undef pv_compare_exchange

#include "tests/pvdrivers/sim/events/c/event_machine.h"
#include "tests/pvdrivers/sim/grants/c/grant_test.h"

static void contend(void (*program)(uint32_t *word))
{
    guest = program;
    attempts = 0;
}

/* A bit of a grant entry that says nothing about what is granted. */
static void change_grant(uint32_t *word)
{
    *word ^= 0x40;
}

static void a_changing_grant_is_refused(void)
{
    struct fixture f = set_up();
    pv_grant_publish(&f.table[FRONT], 9, BACK, 5, false);
    contend(change_grant);
    struct gnttab_map_grant_ref refused = map(&f, BACK, FRONT, 9, GNTMAP_host_map);
    assert(refused.status == GNTST_general_error && attempts == 5);
    assert(!(flags_of(&f, FRONT, 9) & (GTF_reading | GTF_writing)) && PINS(&f, FRONT, 9) == 0);
    contend(NULL);
    struct gnttab_map_grant_ref mapped = map(&f, BACK, FRONT, 9, GNTMAP_host_map);
    assert(mapped.status == GNTST_okay && attempts == 1);
    assert(unmap(&f, BACK, &mapped, GNTMAP_host_map) == GNTST_okay);
    tear_down(&f);
}

/* Takes the entry back, which nothing stops yet, and offers another frame in it. */
static struct pv_grant_entries *offering;

static void offer_another_frame(uint32_t *word)
{
    uint64_t frame;
    guest = NULL;
    assert(word == (uint32_t *)pv_grant_entry_header(offering, 9));
    assert(pv_grant_end_transfer(offering, 9, &frame) == -ENOENT);
    pv_grant_publish_transfer(offering, 9, BACK, 11);
}

/* The page comes where the entry says when it is committed, and not where it said before. */
static void a_transfer_goes_where_the_entry_says(void)
{
    for (uint32_t version = 1; version <= 2; version++) {
        struct fixture f = set_up();
        uint64_t frame = 0;
        set_version(&f, FRONT, version);
        struct gnttab_transfer_x86_64 away[] = {{.mfn = 10, .domid = 7}, {.mfn = 11, .domid = 7}};
        assert(pv_gnttab_op_transfer(f.machine, FRONT, away, 2) == 0);
        pv_grant_publish_transfer(&f.table[FRONT], 9, BACK, 10);
        memset(page_of(&f, BACK, 3), 0x33, 4096);
        offering = &f.table[FRONT];
        contend(offer_another_frame);
        struct gnttab_transfer_x86_64 op = {.mfn = 3, .domid = FRONT, .ref = 9};
        assert(pv_gnttab_op_transfer(f.machine, BACK, &op, 1) == 0 && op.status == GNTST_okay);
        assert(pv_grant_end_transfer(&f.table[FRONT], 9, &frame) == 0 && frame == 11);
        assert(pv_domain_gfn_to_mfn(f.machine, FRONT, 10) < 0);
        assert(page_of(&f, FRONT, 11)[0] == 0x33);
        tear_down(&f);
    }
}

static void change_mask(uint32_t *word)
{
    *word ^= EVENT_WORD_MASKED;
}

static void a_changing_tail_is_left_alone(void)
{
    struct pv_machine *machine = new_machine();
    domid_t d = new_domain(machine, PV_ABI_X86_64, 0);
    uint32_t heads[EVTCHN_FIFO_MAX_QUEUES] = {0};
    evtchn_port_t ports[8];
    uint8_t link_bits;
    assert(pv_evtchn_op_init_control(machine, d, 20, 0, 0, &link_bits) == 0);
    assert(pv_evtchn_op_expand_array(machine, d, 30) == 0);
    for (evtchn_port_t port = 1; port <= 3; port++)
        assert(pv_evtchn_op_bind_ipi(machine, d, 0, &ports[port]) == 0 && ports[port] == port);
    struct pv_event_view view = view_of(machine, d, 0, heads);
    assert(pv_evtchn_op_send(machine, d, 1) == 0);
    contend(change_mask);
    assert(pv_evtchn_op_send(machine, d, 2) == 0 && attempts == 5);
    /* Not left busy: the guest's own unmasking would wait for that. */
    assert(!(*pv_event_fifo_word(&view, 1) & EVENT_WORD_BUSY));
    contend(NULL);
    pv_event_unmask(&view, 1);
    /* Port 2 is lost to this guest; the queue works on behind it. */
    assert(pv_evtchn_op_send(machine, d, 3) == 0 && attempts == 1);
    pv_machine_close(machine);
}

int main(void)
{
    a_changing_grant_is_refused();
    a_transfer_goes_where_the_entry_says();
    a_changing_tail_is_left_alone();
    return 0;
}
