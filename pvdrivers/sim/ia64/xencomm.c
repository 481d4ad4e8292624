/* Buffers of hypercalls: guest-physical addresses, inline or by a descriptor in the guest's memory.
 * What is read is copied once; what a guest names that is not its own memory is -EFAULT. */
#include "pvdrivers/sim/ia64/internal.h"

#include "pvdrivers/sim/memory/memory.h"

#include <errno.h>

#define MAX_ADDRESSES 4096 /* of a descriptor: no call works for longer than that */

/* Under machine.lock the page is not given away meanwhile. */
int copy_in_page(struct pv_machine *machine, const struct domain *d, uint64_t gfn, uint64_t offset,
                 void *buffer, uint64_t size, bool write)
{
    machine_lock(machine);
    uint64_t mfn = gfn_to_own_mfn(machine, d, gfn);
    if (mfn != NO_FRAME) {
        uint8_t *piece = (uint8_t *)frame_address(machine, mfn) + offset;
        memcpy(write ? (void *)piece : buffer, write ? buffer : (void *)piece, size);
    }
    machine_unlock(machine);
    return mfn == NO_FRAME ? -EFAULT : 0;
}

/* A piece of one page. */
static int copy_piece(struct pv_machine *machine, const struct domain *d, uint64_t address,
                      void *buffer, uint64_t size, bool write)
{
    return copy_in_page(machine, d, address >> IA64_PAGE_SHIFT, address % IA64_PAGE_SIZE, buffer,
                        size, write);
}

static uint64_t left_in_page(uint64_t address)
{
    return IA64_PAGE_SIZE - address % IA64_PAGE_SIZE;
}

/* What is still to be copied, behind `skip` bytes of the buffer. */
struct transfer {
    struct pv_machine *machine;
    const struct domain *d;
    uint8_t *buffer;
    uint64_t left, skip;
    bool write;
};

static int copy_at(struct transfer *t, uint64_t address, uint64_t size)
{
    uint64_t skipped = smaller(size, t->skip), bytes = smaller(size - skipped, t->left);
    t->skip -= skipped;
    if (bytes == 0)
        return 0;
    int error = copy_piece(t->machine, t->d, address + skipped, t->buffer, bytes, t->write);
    t->buffer += bytes;
    t->left -= bytes;
    return error;
}

static int copy_inline(struct transfer *t, uint64_t address)
{
    address += t->skip;
    t->skip = 0;
    for (int error; t->left; address += left_in_page(address))
        if ((error = copy_at(t, address, left_in_page(address))))
            return error;
    return 0;
}

static int copy_by_descriptor(struct transfer *t, uint64_t descriptor)
{
    struct xencomm_desc desc;
    if (descriptor % sizeof(uint64_t) || left_in_page(descriptor) < sizeof desc)
        return -EINVAL;
    int error = copy_piece(t->machine, t->d, descriptor, &desc, sizeof desc, false);
    if (error)
        return error;
    if (desc.magic != XENCOMM_MAGIC || desc.nr_addrs > MAX_ADDRESSES)
        return -EINVAL;
    for (uint32_t i = 0; i < desc.nr_addrs && t->left; i++) {
        uint64_t address, at = descriptor + sizeof desc + i * sizeof address;
        error = copy_piece(t->machine, t->d, at, &address, sizeof address, false);
        if (!error && address != XENCOMM_INVALID)
            error = copy_at(t, address, left_in_page(address));
        if (error)
            return error;
    }
    return t->left ? -EFAULT : 0;
}

static int copy(struct transfer *t, uint64_t handle)
{
    return (handle & XENCOMM_INLINE_MASK) == XENCOMM_INLINE_FLAG
               ? copy_inline(t, handle & ~XENCOMM_INLINE_MASK)
               : copy_by_descriptor(t, handle);
}

int xencomm_from_guest(struct pv_machine *machine, const struct domain *d, void *to,
                       uint64_t handle, size_t size, size_t skip)
{
    struct transfer t = {machine, d, to, size, skip, false};
    return copy(&t, handle);
}

int xencomm_to_guest(struct pv_machine *machine, const struct domain *d, uint64_t handle,
                     const void *from, size_t size, size_t skip)
{
    struct transfer t = {machine, d, (uint8_t *)from, size, skip, true};
    return copy(&t, handle);
}
