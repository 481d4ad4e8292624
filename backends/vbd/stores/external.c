/* A store carried out by its creator, in another language or another thread. */
#include "pvdrivers/blk_stores.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

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

unsigned pv_external_store_take(struct pv_blk_store *store, struct pv_blk_io **ios, unsigned max)
{
    struct external_store *external = (struct external_store *)store;
    unsigned count = 0;
    pthread_mutex_lock(&external->lock);
    while (count < max && external->head) {
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

/* What nobody took fails; what was taken is waited for. */
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
    external->tail = &external->head;
    pthread_mutex_init(&external->lock, NULL);
    pthread_cond_init(&external->finished, NULL);
    return &external->store;
}
