/* Pages are taken out of use and brought back while grants of them are mapped and copied, domains
 * come and go, and tools look; run under TSan too. In the end all memory is there. */
#include "tests/pvdrivers/sim/grants/c/grant_test.h"

#include "pvdrivers/sim/machine_pages.h"

#include <pthread.h>

#define ROUNDS 1000u
#define REF 8u
#define GFN 5u

static struct fixture f;
static uint64_t mfn; /* of the page that is granted */

static void *map_and_unmap(void *unused)
{
    (void)unused;
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct gnttab_map_grant_ref op = map(&f, BACK, FRONT, REF, GNTMAP_host_map);
        assert(op.status == GNTST_okay && unmap(&f, BACK, &op, GNTMAP_host_map) == GNTST_okay);
        assert(copy(&f, BACK, from_grant(FRONT, REF, 0, 64, GFN + 1)) == GNTST_okay);
    }
    return NULL;
}

static void *come_and_go(void *unused)
{
    const struct pv_domain_config config = {.memory = 16 << FRAME_SHIFT, .vcpus = 1};
    (void)unused;
    for (unsigned i = 0; i < ROUNDS / 4; i++) {
        int domid = pv_domain_create(f.machine, DOMID_INVALID, &config);
        assert(domid >= 0 && pv_domain_destroy(f.machine, (domid_t)domid) == 0);
    }
    return NULL;
}

/* The granted page, and those of domains that come and go or that are free. */
static void *offline_and_online(void *unused)
{
    uint32_t status;
    (void)unused;
    for (unsigned i = 0; i < ROUNDS; i++) {
        uint64_t frame = i % 2 ? mfn : 512 + i % 64;
        assert(pv_page_offline(f.machine, frame, false, &status) == 0);
        assert(status & (PG_OFFLINE_OFFLINED | PG_OFFLINE_PENDING));
        assert(pv_page_online(f.machine, frame, &status) == 0 && status == PG_ONLINE_ONLINED);
    }
    return NULL;
}

static void *look(void *unused)
{
    struct pv_page_info info;
    (void)unused;
    for (unsigned i = 0; i < ROUNDS; i++) {
        assert(pv_page_info(f.machine, mfn, &info) == 0 && info.owner == FRONT);
        assert(info.count >= 1 && info.count <= 3 && info.gfn == GFN);
        assert(pv_page_info(f.machine, 512 + i % 64, &info) == 0);
    }
    return NULL;
}

int main(void)
{
    void *(*const runs[])(void *) = {map_and_unmap, come_and_go, offline_and_online, look};
    pthread_t threads[sizeof runs / sizeof *runs];
    f = set_up();
    uint64_t free_before = pv_machine_free_memory(f.machine);
    mfn = (uint64_t)pv_domain_gfn_to_mfn(f.machine, FRONT, GFN);
    pv_grant_publish(&f.table[FRONT], REF, BACK, GFN, false);
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++)
        assert(pthread_create(&threads[i], NULL, runs[i], NULL) == 0);
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++)
        pthread_join(threads[i], NULL);
    assert(references(&f, FRONT, GFN) == 1);
    assert(pv_machine_free_memory(f.machine) == free_before);
    tear_down(&f);
    return 0;
}
