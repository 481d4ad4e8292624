/*
 * What guests and peers do at one certain instant of a call: between the two looks at an entry,
 * while a lock is given back on the way, while a copy is under way. The call is another process's,
 * stopped there.
 */
#include "grant_test.h"
#include "tests/pvdrivers/sim/core/c/stepping.h"

#include "pvdrivers/sim/grants/internal.h"

#define REF 14u
#define BEHIND 15u
#define KILLED 9u /* the client that dies in the middle of a copy */

static struct fixture f;

/* ---- Calls to be stopped --------------------------------------------------------------------- */

static int copy_from_front(void *status_wanted)
{
    return copy(&f, BACK, from_grant(FRONT, REF, 100, 8, 1)) == *(const int16_t *)status_wanted;
}

static int map_front(void *status_wanted)
{
    return map(&f, BACK, FRONT, REF, GNTMAP_host_map).status == *(const int16_t *)status_wanted;
}

static int copy_and_die(void *unused)
{
    (void)unused;
    f.machine->client = KILLED;
    return copy(&f, BACK, from_grant(FRONT, REF, 100, 8, 1));
}

static bool is_marked(void *unused)
{
    (void)unused;
    return __atomic_load_n(&f.table[FRONT].status[REF], __ATOMIC_ACQUIRE) != 0;
}

static bool is_free(const pthread_mutex_t *lock)
{
    return __atomic_load_n(&lock->__data.__lock, __ATOMIC_ACQUIRE) == 0;
}

/* Pinned, and on record; the lock is free, so that others may go on. */
static bool is_under_way(void *unused)
{
    (void)unused;
    struct domain *front = domain_window(f.machine, FRONT);
    return __atomic_load_n(&domain_grant_area(f.machine, front)->active[REF].pin,
                           __ATOMIC_ACQUIRE) &&
           is_free(&front->grant_table.lock);
}

/* A transitive copy is on its way: the entry is marked, its domain's lock given back. */
static bool waits_for_what_is_behind(void *unused)
{
    (void)unused;
    struct domain *front = domain_window(f.machine, FRONT);
    const struct copy_run *run = domain_grant_area(f.machine, front)->copy_runs;
    return __atomic_load_n(&run->waiting, __ATOMIC_ACQUIRE) == REF + 1 &&
           is_free(&front->grant_table.lock);
}

/* Leaves a copy under way forever. */
static void copy_halfway(void)
{
    pid_t process = start_stopped(copy_and_die, NULL);
    step_until(process, is_under_way, NULL);
    kill_stopped(process);
}

static void begin(void)
{
    f = set_up();
    set_version(&f, FRONT, 2);
    memset(page_of(&f, BACK, 3), 0x33, 4096);
    memset(page_of(&f, BACK, 4), 0x44, 4096);
}

static void end(void)
{
    grants_subsystem.client_left(f.machine, KILLED);
    assert(PINS(&f, FRONT, REF) == 0 && PINS(&f, BACK, BEHIND) == 0);
    assert(f.table[FRONT].status[REF] == 0);
    for (uint64_t gfn = 0; gfn < PAGES; gfn++)
        assert(references(&f, FRONT, gfn) == 1 && references(&f, BACK, gfn) == 1);
    tear_down(&f);
}

/* ---- The second look at a version 2 entry ---------------------------------------------------- */

/* The guest closes the entry, and finds it in use, or the mapper finds it closed. Here the mark
 * comes first, and the guest's change before the second look: no domain may get a grant that is
 * closed, nor one that is for another now. */
static void changed_between_mark_and_second_look(uint16_t flags, domid_t domid)
{
    int16_t refused = GNTST_general_error;
    begin();
    pv_grant_publish(&f.table[FRONT], REF, BACK, 5, false);
    pid_t process = start_stopped(map_front, &refused);
    step_until(process, is_marked, NULL);
    struct grant_entry_header *header = pv_grant_entry_header(&f.table[FRONT], REF);
    header->domid = domid;
    header->flags = flags;
    assert(run_to_end(process) == true);
    end();
}

/* ---- A handle between the look for its granter and that one's lock (XSA-218) ------------------
 */

static struct gnttab_map_grant_ref mapped;

static int unmap_front(void *status_wanted)
{
    return unmap(&f, BACK, &mapped, GNTMAP_host_map) == *(const int16_t *)status_wanted;
}

static bool has_lock_of_front(void *unused)
{
    (void)unused;
    return !is_free(&domain_window(f.machine, FRONT)->grant_table.lock);
}

/* Unmapped by another process, and used again for another domain's grant: not to be unmapped. */
static void the_handle_has_become_anothers(void)
{
    int16_t refused = GNTST_bad_handle;
    begin();
    pv_grant_publish(&f.table[FRONT], REF, BACK, 5, false);
    pv_grant_publish(&f.table[THIRD], REF, BACK, 5, false);
    mapped = map(&f, BACK, FRONT, REF, GNTMAP_host_map);
    pid_t process = start_stopped(unmap_front, &refused);
    step_until(process, has_lock_of_front, NULL);
    /* As if the two calls had gone before it got the lock. */
    struct maptrack_entry *entry =
        maptrack_entry(f.machine, domain_window(f.machine, BACK), mapped.handle);
    entry->domid = THIRD;
    assert(run_to_end(process) == true);
    entry->domid = FRONT;
    assert(unmap(&f, BACK, &mapped, GNTMAP_host_map) == GNTST_okay);
    end();
}

/* ---- Handles of those who end ---------------------------------------------------------------- */

static int map_as_third(void *unused)
{
    (void)unused;
    return map(&f, THIRD, FRONT, REF, GNTMAP_host_map).status == GNTST_bad_domain;
}

static bool has_reserved_a_handle(void *unused)
{
    (void)unused;
    const struct maptrack *maptrack = &domain_window(f.machine, THIRD)->maptrack;
    return __atomic_load_n(&maptrack->in_use, __ATOMIC_ACQUIRE) == 1 && is_free(&maptrack->lock);
}

/* The mapper's domain is destroyed, and all its handles are released but that of the map under way.
 */
static void destroyed_while_mapping(void)
{
    begin();
    pv_grant_publish(&f.table[FRONT], REF, THIRD, 5, false);
    pid_t process = start_stopped(map_as_third, NULL);
    step_until(process, has_reserved_a_handle, NULL);
    assert(pv_domain_destroy(f.machine, THIRD) == 0 && find_domain(f.machine, THIRD));
    assert(run_to_end(process) == true);
    assert(!find_domain(f.machine, THIRD) && PINS(&f, FRONT, REF) == 0);
    end();
}

static int map_and_die(void *unused)
{
    (void)unused;
    f.machine->client = KILLED;
    mapped = map(&f, BACK, FRONT, REF, GNTMAP_host_map);
    return 0;
}

static bool is_on_its_way_back(void *handles)
{
    const struct maptrack_entry *entry = handles;
    return maptrack_flags(entry) == MAPTRACK_reserved &&
           is_free(&domain_window(f.machine, FRONT)->grant_table.lock);
}

/* Who cleans up after a dead process meets who unmaps its handle: one of them frees it. */
static void unmapped_by_one_and_cleaned_up_by_another(void)
{
    int16_t okay = GNTST_okay;
    begin();
    pv_grant_publish(&f.table[FRONT], REF, BACK, 5, false);
    assert(run_to_end(start_stopped(map_and_die, NULL)) == 0);
    assert(pv_gnttab_handles(f.machine, BACK) == 1);
    struct maptrack_entry *entry = maptrack_entry(f.machine, domain_window(f.machine, BACK), 0);
    mapped =
        (struct gnttab_map_grant_ref){.handle = 0, .host_addr = (uintptr_t)page_of(&f, FRONT, 5)};
    pid_t process = start_stopped(unmap_front, &okay);
    step_until(process, is_on_its_way_back, entry);
    grants_subsystem.client_left(f.machine, KILLED);
    assert(pv_gnttab_handles(f.machine, BACK) == 1);
    assert(run_to_end(process) == true);
    assert(pv_gnttab_handles(f.machine, BACK) == 0);
    end();
}

/* ---- A pinned entry is turned into another (XSA-500) ----------------------------------------- */

/* A reader has it pinned, a writer asks: only as it was captured. */
static void another_part_of_the_page(void)
{
    begin();
    pv_grant_publish_sub_page(&f.table[FRONT], REF, BACK, 5, 100, 50, false);
    copy_halfway();
    pv_grant_publish_sub_page(&f.table[FRONT], REF, BACK, 5, 200, 50, false);
    assert(copy(&f, BACK, to_grant(1, FRONT, REF, 100, 8)) == GNTST_general_error);
    pv_grant_publish_sub_page(&f.table[FRONT], REF, BACK, 5, 100, 51, false);
    assert(copy(&f, BACK, to_grant(1, FRONT, REF, 100, 8)) == GNTST_general_error);
    pv_grant_publish_sub_page(&f.table[FRONT], REF, BACK, 5, 100, 50, false);
    assert(copy(&f, BACK, to_grant(1, FRONT, REF, 100, 8)) == GNTST_okay);
    end();
}

/* All of a page as a sub-page: the same bytes, but not to be mapped. */
static void the_page_as_a_sub_page(void)
{
    begin();
    pv_grant_publish(&f.table[FRONT], REF, BACK, 5, false);
    copy_halfway();
    pv_grant_publish_sub_page(&f.table[FRONT], REF, BACK, 5, 0, 4096, false);
    assert(map(&f, BACK, FRONT, REF, GNTMAP_host_map).status == GNTST_general_error);
    assert(copy(&f, BACK, to_grant(1, FRONT, REF, 100, 8)) == GNTST_general_error);
    end();
}

/* ---- A transitive entry while its lock is given back (XSA-226) ------------------------------- */

static void release_what_the_dead_had_of(domid_t domid)
{
    struct domain *d = domain_window(f.machine, domid);
    grant_lock(f.machine, d);
    for (unsigned i = 0; i < COPY_RUNS; i++)
        if (domain_grant_area(f.machine, d)->copy_runs[i].owner)
            copy_run_release(f.machine, d, &domain_grant_area(f.machine, d)->copy_runs[i]);
    grant_unlock(d);
}

/* The entry is pinned for a page that what is behind it no longer grants. */
static void what_is_behind_has_changed(void)
{
    begin();
    pv_grant_publish(&f.table[BACK], BEHIND, FRONT, 3, true);
    pv_grant_publish_transitive(&f.table[FRONT], REF, BACK, BACK, BEHIND, true);
    copy_halfway();
    assert(PINS(&f, FRONT, REF) && PINS(&f, BACK, BEHIND));
    release_what_the_dead_had_of(BACK); /* cleaning up begins with it */
    pv_grant_publish(&f.table[BACK], BEHIND, FRONT, 4, true);
    *(page_of(&f, BACK, 1)) = 0;
    assert(copy(&f, BACK, from_grant(FRONT, REF, 100, 8, 1)) == GNTST_eagain);
    assert(*page_of(&f, BACK, 1) == 0);
    release_what_the_dead_had_of(FRONT);
    assert(copy(&f, BACK, from_grant(FRONT, REF, 100, 8, 1)) == GNTST_okay);
    assert(*page_of(&f, BACK, 1) == 0x44);
    end();
}

/* Somebody else has pinned it meanwhile: both pins count. */
static void pinned_by_another_meanwhile(void)
{
    int16_t okay = GNTST_okay;
    begin();
    pv_grant_publish(&f.table[BACK], BEHIND, FRONT, 3, true);
    pv_grant_publish_transitive(&f.table[FRONT], REF, BACK, BACK, BEHIND, true);
    pid_t process = start_stopped(copy_from_front, &okay);
    step_until(process, waits_for_what_is_behind, NULL);
    assert(map(&f, BACK, FRONT, REF, GNTMAP_host_map).status == GNTST_general_error);
    copy_halfway();
    assert(run_to_end(process) == true);
    assert(PINS(&f, FRONT, REF) == GNTPIN_hstr_inc); /* the dead one's */
    end();
}

/* Who was on the way there is killed: the entry is the guest's again. */
static void killed_while_the_lock_was_given_back(void)
{
    begin();
    pv_grant_publish(&f.table[BACK], BEHIND, FRONT, 3, true);
    pv_grant_publish_transitive(&f.table[FRONT], REF, BACK, BACK, BEHIND, true);
    pid_t process = start_stopped(copy_and_die, NULL);
    step_until(process, waits_for_what_is_behind, NULL);
    kill_stopped(process);
    assert(pv_grant_query(&f.table[FRONT], REF) == GTF_reading);
    end(); /* which looks for marks */
}

/* ---- The version while a copy is under way (XSA-501) ----------------------------------------- */

/* The copy has no pin yet, but a mark in the form of version 2, and goes on with that. */
static void no_way_back_to_version_1_while_copying(void)
{
    int16_t okay = GNTST_okay;
    begin();
    pv_grant_publish(&f.table[BACK], BEHIND, FRONT, 3, true);
    pv_grant_publish_transitive(&f.table[FRONT], REF, BACK, BACK, BEHIND, true);
    pid_t process = start_stopped(copy_from_front, &okay);
    step_until(process, waits_for_what_is_behind, NULL);
    struct gnttab_set_version op = {1};
    assert(PINS(&f, FRONT, REF) == 0);
    assert(pv_gnttab_op_set_version(f.machine, FRONT, &op) == -EAGAIN && op.version == 2);
    assert(flags_of(&f, FRONT, REF) == (GTF_transitive | GTF_readonly)); /* nothing was wiped */
    assert(run_to_end(process) == true);
    op.version = 1;
    assert(pv_gnttab_op_set_version(f.machine, FRONT, &op) == 0);
    set_version(&f, FRONT, 2);
    end();
}

int main(void)
{
    if (!STEPPING)
        return 0;
    no_way_back_to_version_1_while_copying();
    changed_between_mark_and_second_look(0, BACK);
    changed_between_mark_and_second_look(GTF_permit_access, THIRD);
    changed_between_mark_and_second_look(GTF_permit_access | GTF_readonly, BACK);
    changed_between_mark_and_second_look(GTF_transitive, BACK);
    the_handle_has_become_anothers();
    destroyed_while_mapping();
    unmapped_by_one_and_cleaned_up_by_another();
    another_part_of_the_page();
    the_page_as_a_sub_page();
    what_is_behind_has_changed();
    pinned_by_another_meanwhile();
    killed_while_the_lock_was_given_back();
    return 0;
}
