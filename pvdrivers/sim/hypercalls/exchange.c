/* memory_op's exchange of pages. It is done in steps of as many pages as the larger of the extents
 * has, each as a whole: a caller that is killed, or an error, leaves whole steps. */
#include "pvdrivers/sim/hypercalls/internal.h"
#include "pvdrivers/sim/machine_memory.h"

#include <stddef.h>
#include <stdlib.h>

typedef const struct xen_memory_reservation reservation;

static bool is_too_many(reservation *of)
{
    return of->nr_extents > UINT64_MAX >> of->extent_order;
}

static int check(const struct xen_memory_exchange *op)
{
    reservation *in = &op->in, *out = &op->out;
    if (in->extent_order > PV_MEMORY_MAX_ORDER || out->extent_order > PV_MEMORY_MAX_ORDER)
        return -EPERM;
    if (op->nr_exchanged > in->nr_extents || in->domid != out->domid || is_too_many(in) ||
        is_too_many(out) ||
        in->nr_extents << in->extent_order != out->nr_extents << out->extent_order)
        return -EINVAL;
    return 0;
}

/* How many extents of it, as an order, are as many pages as one of the other. */
static uint32_t step_order(reservation *of, reservation *other)
{
    return other->extent_order > of->extent_order ? other->extent_order - of->extent_order : 0;
}

struct list {
    uint64_t at, size; /* in the caller's memory, bytes */
    uint64_t *gfns;
};

static struct list list_of_step(reservation *of, reservation *other, uint64_t step)
{
    uint64_t count = 1ull << step_order(of, other), size = count * sizeof(uint64_t);
    return (struct list){.at = of->extent_start + step * size, .size = size, .gfns = malloc(size)};
}

static int exchange(const struct hypercall *call, const struct xen_memory_exchange *op,
                    const struct list *in, const struct list *out)
{
    uint64_t *mfns = malloc(out->size);
    const struct pv_memory_exchange step = {.in = in->gfns,
                                            .out = out->gfns,
                                            .mfns = mfns,
                                            .in_order = op->in.extent_order,
                                            .out_order = op->out.extent_order,
                                            .mem_flags = op->out.mem_flags};
    int error = !mfns || !in->gfns || !out->gfns ? -ENOMEM : 0;
    if (!error)
        error = copy_from_guest(in->gfns, in->at, in->size);
    if (!error)
        error = copy_from_guest(out->gfns, out->at, out->size);
    if (!error)
        error = pv_memory_exchange(call->machine, call->caller, op->in.domid, &step);
    if (!error)
        error = copy_to_guest(out->at, mfns, out->size);
    free(mfns);
    return error;
}

static int exchange_step(const struct hypercall *call, const struct xen_memory_exchange *op,
                         uint64_t step)
{
    struct list in = list_of_step(&op->in, &op->out, step);
    struct list out = list_of_step(&op->out, &op->in, step);
    int error = exchange(call, op, &in, &out);
    free(in.gfns);
    free(out.gfns);
    return error;
}

/* How much was done is told in any case. */
long memory_exchange(const struct hypercall *call, void *argument)
{
    struct xen_memory_exchange *op = argument;
    int error = check(op);
    uint32_t order = error ? 0 : step_order(&op->in, &op->out);
    for (uint64_t i = op->nr_exchanged >> order; !error && i < op->in.nr_extents >> order; i++) {
        error = exchange_step(call, op, i);
        op->nr_exchanged = (error ? i : i + 1) << order;
    }
    uint64_t told = call->args[1] + offsetof(struct xen_memory_exchange, nr_exchanged);
    return copy_to_guest(told, &op->nr_exchanged, sizeof op->nr_exchanged) ? -EFAULT : error;
}
