/*
 * A hypervisor that does badly what it is told to: laid over any table of calls, it lets everything
 * through but for the grant operations a test names. A driver of any class can be put on it.
 *
 *     struct grant_faults faults;
 *     grant_faults_install(&faults, &loop.hypervisor);
 *     faults.copy = (struct grant_fault){.kind = GRANT_FAULT_STATUS, .status = 1, .skip = 3};
 */
#ifndef TESTS_RING_C_GRANT_FAULTS_H
#define TESTS_RING_C_GRANT_FAULTS_H

#include "pvdrivers/hypervisor.h"

enum grant_fault_kind {
    GRANT_FAULT_NONE,
    GRANT_FAULT_STATUS,    /* the element is not carried out and has `status` */
    GRANT_FAULT_UNTOUCHED, /* the element is not carried out and not written to (XSA-318) */
    GRANT_FAULT_CALL,      /* the whole call fails with `status`: a map before it has done anything,
                            * a copy when it has done all and said so of each element */
};

struct grant_fault {
    enum grant_fault_kind kind;
    int16_t status;
    uint32_t skip; /* elements (calls, of GRANT_FAULT_CALL) that go well before */
    uint32_t hit;  /* out: faults so far; `most` of them, or with 0 one */
    uint32_t most;
};

struct grant_faults {
    struct pv_hypervisor_ops ops; /* first: a call finds this through it */
    const struct pv_hypervisor_ops *under;
    struct grant_fault map, copy;
};

static inline bool grant_fault_strikes(struct grant_fault *fault, bool call)
{
    if (fault->kind == GRANT_FAULT_NONE || (fault->kind == GRANT_FAULT_CALL) != call)
        return false;
    if (fault->skip > 0) {
        fault->skip--;
        return false;
    }
    if (fault->hit == (fault->most ? fault->most : 1))
        return false;
    fault->hit++;
    return true;
}

static inline int grant_faults_map(struct pv_hypervisor *hypervisor, struct pv_grant_map *maps,
                                   unsigned count)
{
    struct grant_faults *faults = (struct grant_faults *)(uintptr_t)hypervisor->ops;
    if (grant_fault_strikes(&faults->map, true))
        return faults->map.status;
    for (unsigned i = 0; i < count; i++) {
        if (!grant_fault_strikes(&faults->map, false))
            faults->under->gnttab_map(hypervisor, &maps[i], 1);
        else if (faults->map.kind == GRANT_FAULT_STATUS)
            maps[i].status = faults->map.status;
    }
    return 0;
}

static inline int grant_faults_copy(struct pv_hypervisor *hypervisor, struct pv_grant_copy *copies,
                                    unsigned count)
{
    struct grant_faults *faults = (struct grant_faults *)(uintptr_t)hypervisor->ops;
    if (grant_fault_strikes(&faults->copy, true)) {
        faults->under->gnttab_copy(hypervisor, copies, count);
        return faults->copy.status;
    }
    for (unsigned i = 0; i < count; i++) {
        if (!grant_fault_strikes(&faults->copy, false))
            faults->under->gnttab_copy(hypervisor, &copies[i], 1);
        else if (faults->copy.kind == GRANT_FAULT_STATUS)
            copies[i].status = faults->copy.status;
    }
    return 0;
}

/* `faults` outlives the hypervisor's use of it. */
static inline void grant_faults_install(struct grant_faults *faults,
                                        struct pv_hypervisor *hypervisor)
{
    *faults = (struct grant_faults){.ops = *hypervisor->ops, .under = hypervisor->ops};
    faults->ops.gnttab_map = grant_faults_map;
    faults->ops.gnttab_copy = grant_faults_copy;
    hypervisor->ops = &faults->ops;
}

#endif
