/* Which logical unit is where. A table never changes: another takes its place, and the old one
 * stays until the last request that began with it is answered. */
#include "backends/scsi/scsiback_private.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

static uint64_t key_of(uint16_t channel, uint16_t id, uint16_t lun)
{
    return (uint64_t)channel << 32 | (uint64_t)id << 16 | lun;
}

static int compare(const void *a, const void *b)
{
    uint64_t left = ((const struct lun_place *)a)->key, right = ((const struct lun_place *)b)->key;
    return (left > right) - (left < right);
}

static struct lun_table *make_table(const struct pv_scsiback_lun *luns, uint32_t count)
{
    struct lun_table *table = calloc(1, sizeof *table + count * sizeof table->places[0]);
    if (!table) {
        errno = ENOMEM;
        return NULL;
    }
    table->count = count;
    for (uint32_t i = 0; i < count; i++)
        table->places[i] = (struct lun_place){
            .key = key_of(luns[i].channel, luns[i].id, luns[i].lun), .nexus = luns[i].nexus};
    qsort(table->places, count, sizeof table->places[0], compare);
    for (uint32_t i = 1; i < count; i++) {
        if (table->places[i].key == table->places[i - 1].key) {
            free(table);
            errno = EEXIST;
            return NULL;
        }
    }
    return table;
}

/* ---- What the queue's fd watches; under the lock ------------------------------------------- */

static int fd_of(const struct lun_place *place)
{
    struct pv_blk_store *store = place->nexus->store;
    return store && store->ops->fd ? store->ops->fd(store) : -1;
}

static bool has_fd(const struct lun_table *table, int fd)
{
    for (; table; table = table->next)
        for (uint32_t i = 0; i < table->count; i++)
            if (fd_of(&table->places[i]) == fd)
                return true;
    return false;
}

/* Those that are watched already stay so. */
static int watch(struct pv_scsiback_queue *queue, const struct lun_table *table)
{
    for (uint32_t i = 0; i < table->count; i++) {
        int fd = fd_of(&table->places[i]);
        struct epoll_event event = {.events = EPOLLIN};
        if (fd >= 0 && epoll_ctl(queue->pollable.fd, EPOLL_CTL_ADD, fd, &event) < 0 &&
            errno != EEXIST)
            return -errno;
    }
    return 0;
}

static void unwatch(struct pv_scsiback_queue *queue, const struct lun_table *table)
{
    for (uint32_t i = 0; i < table->count; i++) {
        int fd = fd_of(&table->places[i]);
        if (fd >= 0 && !has_fd(queue->luns, fd) && !has_fd(queue->retired, fd) &&
            !has_fd(queue->next_luns, fd))
            epoll_ctl(queue->pollable.fd, EPOLL_CTL_DEL, fd, NULL);
    }
}

/* ---- Tables; under the lock ---------------------------------------------------------------- */

/* The queue no longer has it. */
static void free_table(struct pv_scsiback_queue *queue, struct lun_table *table)
{
    if (!table)
        return;
    unwatch(queue, table);
    for (uint32_t i = 0; i < table->count; i++)
        pv_fetch_sub(&table->places[i].nexus->users, 1); /* a reader of 0 may free it */
    free(table);
}

int pv_scsiback_set_luns(struct pv_scsiback_queue *queue, const struct pv_scsiback_lun *luns,
                         uint32_t count)
{
    struct lun_table *table = make_table(luns, count);
    if (!table)
        return -errno;
    for (uint32_t i = 0; i < count; i++)
        pv_fetch_add(&luns[i].nexus->users, 1);
    pthread_mutex_lock(&queue->luns_lock);
    int status = watch(queue, table);
    struct lun_table *unused = status < 0 ? table : queue->next_luns;
    if (status == 0) {
        queue->next_luns = table;
        /* Release: behind all that the queue finds at the new nexuses. */
        pv_store_release(&queue->luns_changed, 1);
    }
    free_table(queue, unused);
    pthread_mutex_unlock(&queue->luns_lock);
    eventfd_write(queue->completions.eventfd, 1); /* a sleeping queue gives the old ones up, too */
    return status;
}

void scsiback_take_luns(struct pv_scsiback_queue *queue)
{
    /* Acquire: pairs with the release above. What the frontend has sent since it was told of a LUN
     * was read by an acquire before this, so the LUN is seen. */
    if (!pv_load_acquire(&queue->luns_changed))
        return;
    scsiback_release_nexus(queue); /* the table that names it may go */
    pthread_mutex_lock(&queue->luns_lock);
    struct lun_table *old = queue->luns;
    queue->luns = queue->next_luns;
    queue->next_luns = NULL;
    pv_write_once(&queue->luns_changed, 0);
    if (old && old->users > 0) {
        old->next = queue->retired;
        queue->retired = old;
    } else {
        free_table(queue, old);
    }
    pthread_mutex_unlock(&queue->luns_lock);
}

bool scsiback_find_lun(struct pv_scsiback_queue *queue, struct scsiback_request *request)
{
    const struct vscsiif_request *ring = request->ring;
    struct lun_place wanted = {.key = key_of(ring->channel, ring->id, ring->lun)};
    struct lun_table *table = queue->luns;
    if (!table)
        return false;
    const struct lun_place *found = table->last;
    if (!found || found->key != wanted.key)
        found = bsearch(&wanted, table->places, table->count, sizeof table->places[0], compare);
    if (!found)
        return false;
    table->last = found;
    table->users++;
    request->luns = table;
    request->nexus = found->nexus;
    return true;
}

void scsiback_drop_lun(struct pv_scsiback_queue *queue, struct scsiback_request *request)
{
    struct lun_table *table = request->luns;
    request->luns = NULL;
    request->nexus = NULL;
    if (--table->users > 0 || table == queue->luns)
        return;
    scsiback_release_nexus(queue); /* which the table may name */
    pthread_mutex_lock(&queue->luns_lock);
    struct lun_table **at = &queue->retired;
    while (*at != table)
        at = &(*at)->next;
    *at = table->next;
    free_table(queue, table);
    pthread_mutex_unlock(&queue->luns_lock);
}

void scsiback_free_luns(struct pv_scsiback_queue *queue)
{
    struct lun_table *last = queue->luns, *next = queue->next_luns;
    queue->luns = queue->next_luns = NULL;
    free_table(queue, last);
    free_table(queue, next);
}
