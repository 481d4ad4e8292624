/* A store carried out by its creator, in another language or another thread. */
#include "pvdrivers/backends/stores/stores.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define MAX_ERRNO 4095

struct external_store {
    struct pv_blk_store store;
    pthread_mutex_t lock;
    pthread_cond_t finished;
    struct pv_blk_io *head, **tail; /* not taken yet */
    unsigned taken;                 /* and not finished yet */
    int fd;                         /* holds a count while the list is not empty */
};

static void submit(struct pv_blk_store *store, struct pv_blk_io **ios, unsigned count)
{
    struct external_store *external = (struct external_store *)store;
    pthread_mutex_lock(&external->lock);
    if (!external->head)
        eventfd_write(external->fd, 1);
    for (unsigned i = 0; i < count; i++) {
        ios[i]->next = NULL;
        *external->tail = ios[i];
        external->tail = &ios[i]->next;
    }
    pthread_mutex_unlock(&external->lock);
}

int pv_external_store_fd(struct pv_blk_store *store)
{
    return ((struct external_store *)store)->fd;
}

static uint64_t data_bytes(const struct pv_blk_io *io)
{
    return io->op == PV_BLK_READ || io->op == PV_BLK_WRITE ? io->nr_sectors * PV_SECTOR_SIZE : 0;
}

/* Takes at most `max` operations and, after the first, at most `bytes` of data. */
static unsigned take(struct external_store *external, struct pv_blk_io **ios, unsigned max,
                     uint64_t bytes)
{
    unsigned count = 0;
    pthread_mutex_lock(&external->lock);
    while (count < max && external->head) {
        uint64_t more = data_bytes(external->head);
        if (count > 0 && more > bytes)
            break;
        bytes -= more < bytes ? more : bytes;
        ios[count++] = external->head;
        external->head = external->head->next;
    }
    if (count > 0 && !external->head) {
        eventfd_t value;
        external->tail = &external->head;
        eventfd_read(external->fd, &value);
    }
    external->taken += count;
    pthread_mutex_unlock(&external->lock);
    return count;
}

unsigned pv_external_store_take(struct pv_blk_store *store, struct pv_blk_io **ios, unsigned max)
{
    return take((struct external_store *)store, ios, max, UINT64_MAX);
}

void pv_external_store_finish(struct pv_blk_store *store, struct pv_blk_io **ios, unsigned count)
{
    struct external_store *external = (struct external_store *)store;
    for (unsigned i = 0; i < count; i++)
        ios[i]->complete(ios[i]);
    pthread_mutex_lock(&external->lock);
    external->taken -= count;
    pthread_cond_signal(&external->finished);
    pthread_mutex_unlock(&external->lock);
}

/* ---- Batches ------------------------------------------------------------------------------- */

unsigned pv_external_batch_take(struct pv_blk_store *store, struct pv_external_batch *batch)
{
    uint64_t offset = 0;
    batch->count = take((struct external_store *)store, batch->ios, PV_EXTERNAL_BATCH,
                        PV_EXTERNAL_BATCH_BYTES);
    for (uint32_t i = 0; i < batch->count; i++) {
        const struct pv_blk_io *io = batch->ios[i];
        batch->sectors[i] = io->sector;
        batch->counts[i] = io->nr_sectors;
        batch->offsets[i] = offset;
        batch->statuses[i] = -EINPROGRESS;
        batch->operations[i] = (uint8_t)io->op;
        batch->secure[i] = io->secure;
        offset += data_bytes(io);
    }
    batch->offsets[batch->count] = offset;
    return batch->count;
}

void pv_external_batch_load(const struct pv_external_batch *batch, uint8_t *data)
{
    for (uint32_t i = 0; i < batch->count; i++) {
        const struct pv_blk_io *io = batch->ios[i];
        uint8_t *at = data + batch->offsets[i];
        if (io->op == PV_BLK_READ)
            memset(at, 0, data_bytes(io));
        for (int j = 0; io->op == PV_BLK_WRITE && j < io->iov_count; j++) {
            memcpy(at, io->iov[j].iov_base, io->iov[j].iov_len);
            at += io->iov[j].iov_len;
        }
    }
}

void pv_external_batch_done(struct pv_external_batch *batch)
{
    for (uint32_t i = 0; i < batch->count; i++)
        if (batch->statuses[i] == -EINPROGRESS)
            batch->statuses[i] = 0;
}

static bool is_final(int status)
{
    return status <= 0 && status >= -MAX_ERRNO && status != -EINPROGRESS;
}

int pv_external_batch_incomplete(const struct pv_external_batch *batch)
{
    for (uint32_t i = 0; i < batch->count; i++)
        if (!is_final(batch->statuses[i]))
            return (int)i;
    return -1;
}

static void give(const struct pv_blk_io *io, const uint8_t *data)
{
    for (int i = 0; i < io->iov_count; i++) {
        memcpy(io->iov[i].iov_base, data, io->iov[i].iov_len);
        data += io->iov[i].iov_len;
    }
}

void pv_external_batch_finish(struct pv_blk_store *store, struct pv_external_batch *batch,
                              const uint8_t *data)
{
    for (uint32_t i = 0; i < batch->count; i++) {
        struct pv_blk_io *io = batch->ios[i];
        io->status = is_final(batch->statuses[i]) ? batch->statuses[i] : -EIO;
        if (io->op == PV_BLK_READ && io->status == 0)
            give(io, data + batch->offsets[i]);
    }
    pv_external_store_finish(store, batch->ios, batch->count);
    batch->count = 0; /* so that none is finished twice */
}

/* Fails what was not taken yet, and waits for what was. */
static void close_store(struct pv_blk_store *store)
{
    struct external_store *external = (struct external_store *)store;
    struct pv_blk_io *io;
    while (pv_external_store_take(store, &io, 1)) {
        io->status = -EIO;
        pv_external_store_finish(store, &io, 1);
    }
    pthread_mutex_lock(&external->lock);
    while (external->taken > 0)
        pthread_cond_wait(&external->finished, &external->lock);
    pthread_mutex_unlock(&external->lock);
    pthread_mutex_destroy(&external->lock);
    pthread_cond_destroy(&external->finished);
    close(external->fd);
    free(external);
}

static const struct pv_blk_store_ops external_ops = {
    .name = "external", .submit = submit, .close = close_store};

struct pv_blk_store *pv_external_store_create(const struct pv_blk_geometry *geometry)
{
    struct external_store *external = calloc(1, sizeof *external);
    if (!external)
        return NULL;
    external->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (external->fd < 0) {
        free(external);
        return NULL;
    }
    external->store.ops = &external_ops;
    external->store.geometry = *geometry;
    external->store.io_outlives_process = true;
    external->tail = &external->head;
    pthread_mutex_init(&external->lock, NULL);
    pthread_cond_init(&external->finished, NULL);
    return &external->store;
}
