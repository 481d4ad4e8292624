/* Threads against each other and against a guest that keeps changing its entries; run under TSan
 * too. What must hold is that the counts balance when all is over. */
#include "grant_test.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS 3000

static struct fixture f;
static struct gnttab_map_grant_ref shared_handle;
static bool stop;

static void *map_and_unmap(void *unused)
{
    (void)unused;
    for (int i = 0; i < ROUNDS; i++) {
        struct gnttab_map_grant_ref op =
            map(&f, BACK, FRONT, 8, GNTMAP_host_map | (i % 2 ? GNTMAP_readonly : 0));
        if (op.status == GNTST_okay)
            assert(unmap(&f, BACK, &op, GNTMAP_host_map) == GNTST_okay);
    }
    return NULL;
}

/* `page` is the gfn to copy to: a thread's own, as in any sane backend. */
static void *copy_out(void *page)
{
    for (int i = 0; i < ROUNDS; i++) {
        int16_t status = copy(&f, BACK, from_grant(FRONT, 8, 0, 64, (uintptr_t)page));
        assert(status == GNTST_okay || status == GNTST_general_error || status == GNTST_eagain);
    }
    return NULL;
}

/* The hostile guest: everything an entry can be, at any moment. */
static void *flip(void *unused)
{
    (void)unused;
    uint16_t *flags = &pv_grant_entry_header(&f.table[FRONT], 8)->flags;
    for (unsigned i = 0; !__atomic_load_n(&stop, __ATOMIC_RELAXED); i++) {
        static const uint16_t kinds[] = {GTF_permit_access,
                                         GTF_transitive,
                                         GTF_invalid,
                                         GTF_permit_access | GTF_readonly,
                                         GTF_permit_access | GTF_sub_page,
                                         GTF_accept_transfer};
        __atomic_store_n(flags, kinds[i % 6], __ATOMIC_RELEASE);
    }
    return NULL;
}

static void run(void *(*first)(void *), void *(*second)(void *), bool hostile)
{
    pthread_t threads[3];
    stop = false;
    assert(pthread_create(&threads[0], NULL, first, (void *)1) == 0);
    assert(pthread_create(&threads[1], NULL, second, (void *)2) == 0);
    assert(!hostile || pthread_create(&threads[2], NULL, flip, NULL) == 0);
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    if (hostile)
        pthread_join(threads[2], NULL);
    assert(PINS(&f, FRONT, 8) == 0 && pv_gnttab_handles(f.machine, BACK) == 0);
    for (uint64_t gfn = 0; gfn < PAGES; gfn++)
        assert(references(&f, FRONT, gfn) == 1);
}

static void a_hostile_guest(void)
{
    for (uint32_t version = 1; version <= 2; version++) {
        f = set_up();
        set_version(&f, FRONT, version);
        pv_grant_publish(&f.table[FRONT], 8, BACK, 5, false);
        run(map_and_unmap, copy_out, false);
        run(map_and_unmap, copy_out, true);
        run(map_and_unmap, map_and_unmap, true);
        tear_down(&f);
    }
}

static void *unmap_shared(void *won)
{
    if (unmap(&f, BACK, &shared_handle, GNTMAP_host_map) == GNTST_okay)
        __atomic_fetch_add((int *)won, 1, __ATOMIC_RELAXED);
    return NULL;
}

/* XSA-218: one handle, two unmaps; exactly one of them did it. */
static void one_handle_unmapped_twice(void)
{
    f = set_up();
    pv_grant_publish(&f.table[FRONT], 8, BACK, 5, false);
    for (int i = 0; i < 200; i++) {
        pthread_t other;
        int won = 0;
        shared_handle = map(&f, BACK, FRONT, 8, GNTMAP_host_map);
        assert(pthread_create(&other, NULL, unmap_shared, &won) == 0);
        unmap_shared(&won);
        pthread_join(other, NULL);
        assert(won == 1 && PINS(&f, FRONT, 8) == 0 && pv_gnttab_handles(f.machine, BACK) == 0);
    }
    tear_down(&f);
}

static void *transitive_copies(void *page)
{
    for (int i = 0; i < ROUNDS; i++) {
        int16_t status = copy(&f, BACK, from_grant(FRONT, 9, 0, 64, (uintptr_t)page));
        assert(status == GNTST_okay || status == GNTST_eagain || status == GNTST_general_error);
    }
    return NULL;
}

static void *switch_versions(void *unused)
{
    (void)unused;
    for (int i = 0; i < ROUNDS / 4; i++) {
        struct gnttab_set_version op = {1 + i % 2};
        int error = pv_gnttab_op_set_version(f.machine, FRONT, &op);
        assert(error == 0 || error == -EBUSY || error == -EAGAIN);
        if (op.version == 2) {
            struct pv_grant_entries table;
            assert(pv_gnttab_entries(f.machine, FRONT, &table) == 0);
            if (table.version == 2)
                pv_grant_publish_transitive(&table, 9, BACK, THIRD, 8, true);
        }
    }
    return NULL;
}

/* XSA-226, XSA-501: the intermediate table changes its version while it is followed. */
static void transitive_against_version_changes(void)
{
    f = set_up();
    pv_grant_publish(&f.table[THIRD], 8, FRONT, 7, true);
    pthread_t other;
    assert(pthread_create(&other, NULL, switch_versions, NULL) == 0);
    transitive_copies((void *)1);
    pthread_join(other, NULL);
    run(transitive_copies, transitive_copies, false);
    assert(PINS(&f, FRONT, 9) == 0 && PINS(&f, THIRD, 8) == 0 && references(&f, THIRD, 7) == 1);
    tear_down(&f);
}

/* A process killed anywhere inside a map, copy or unmap leaves nothing behind. */
static void killed_in_the_middle(void)
{
    f = set_up();
    set_version(&f, FRONT, 2);
    for (grant_ref_t ref = 8; ref < 40; ref++)
        pv_grant_publish(&f.table[FRONT], ref, BACK, ref, false);
    for (int i = 0; i < 40; i++) {
        pid_t child = fork();
        assert(child >= 0);
        if (child == 0) {
            f.machine->client = 9; /* as if it had attached by itself */
            for (grant_ref_t ref = 8;; ref = 8 + (ref - 7) % 32) {
                struct gnttab_map_grant_ref op = map(&f, BACK, FRONT, ref, GNTMAP_host_map);
                copy(&f, BACK, from_grant(FRONT, ref, 0, 4096, 1));
                if (ref % 3)
                    unmap(&f, BACK, &op, GNTMAP_host_map);
            }
        }
        usleep((useconds_t)(500 + i * 37));
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        grants_subsystem.client_left(f.machine, 9);
        assert(pv_gnttab_handles(f.machine, BACK) == 0);
        for (grant_ref_t ref = 8; ref < 40; ref++) {
            assert(PINS(&f, FRONT, ref) == 0 && references(&f, FRONT, ref) == 1);
            assert(pv_grant_query(&f.table[FRONT], ref) == 0);
        }
        assert(domain_window(f.machine, FRONT)->grant_table.copies == 0);
    }
    tear_down(&f);
}

/* Killed with a handle half on its way back: it is free when the process is cleaned up after. */
static void killed_while_freeing_a_handle(void)
{
    f = set_up();
    pv_grant_publish(&f.table[FRONT], 8, BACK, 5, false);
    struct domain *back = domain_window(f.machine, BACK);
    struct maptrack_entry *entries = domain_grant_area(f.machine, back)->maptrack;
    for (int step = 0; step < 3; step++) {
        pid_t child = fork();
        assert(child >= 0);
        if (child == 0) {
            f.machine->client = 9;
            struct gnttab_map_grant_ref op = map(&f, BACK, FRONT, 8, GNTMAP_host_map);
            unmap(&f, BACK, &op, GNTMAP_host_map);
            /* The free entry again as maptrack_free had it after each of its steps. */
            sim_lock(&back->maptrack.lock);
            entries[op.handle].flags = step < 2 ? MAPTRACK_reserved : 0;
            entries[op.handle].owner = step == 0 ? 10 : 0;
            back->maptrack.in_use = 1;
            raise(SIGKILL);
        }
        waitpid(child, NULL, 0);
        grants_subsystem.client_left(f.machine, 9);
        assert(pv_gnttab_handles(f.machine, BACK) == 0);
    }
    tear_down(&f);
}

int main(void)
{
    killed_while_freeing_a_handle();
    a_hostile_guest();
    one_handle_unmapped_twice();
    transitive_against_version_changes();
    killed_in_the_middle();
    return 0;
}
