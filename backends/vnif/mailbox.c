/* Packets that one queue has received and that belong to another, which may be on another thread.
 */
#include "backends/reserve.h"
#include "backends/vnif/netback_private.h"

#include <errno.h>
#include <sys/eventfd.h>

#define ENTRIES_SIZE (NETBACK_MAILBOX * sizeof(struct rx_entry))

int netback_mailbox_open(struct netback_mailbox *mailbox, int eventfd)
{
    struct rx_entry *entries = reserve(ENTRIES_SIZE);
    int status = entries ? 0 : -ENOMEM;
    pthread_mutex_lock(&mailbox->lock);
    if (status == 0 && mailbox->entries)
        status = -EBUSY;
    if (status == 0) {
        mailbox->entries = entries;
        mailbox->first = 0;
        pv_write_once(&mailbox->count, 0);
        mailbox->eventfd = eventfd;
        mailbox->armed = mailbox->written = false;
    }
    pthread_mutex_unlock(&mailbox->lock);
    if (status < 0 && entries)
        munmap(entries, ENTRIES_SIZE);
    return status;
}

void netback_mailbox_close(struct netback_mailbox *mailbox)
{
    pthread_mutex_lock(&mailbox->lock);
    struct rx_entry *entries = mailbox->entries;
    for (uint32_t i = 0; i < mailbox->count; i++)
        pv_packet_release(NULL, &entries[(mailbox->first + i) % NETBACK_MAILBOX].packet, 1);
    pv_write_once(&mailbox->count, 0);
    mailbox->entries = NULL;
    pthread_mutex_unlock(&mailbox->lock);
    if (entries)
        munmap(entries, ENTRIES_SIZE);
}

/* Under the lock. */
static void wake(struct netback_mailbox *mailbox)
{
    if (mailbox->armed)
        eventfd_write(mailbox->eventfd, 1);
    mailbox->written |= mailbox->armed;
    mailbox->armed = false;
}

bool netback_mailbox_put(struct netback_mailbox *mailbox, const struct rx_entry *entry, bool *full)
{
    pthread_mutex_lock(&mailbox->lock);
    *full = mailbox->entries && mailbox->count == NETBACK_MAILBOX;
    bool put = mailbox->entries && !*full;
    if (put) {
        uint32_t place = (mailbox->first + mailbox->count) % NETBACK_MAILBOX;
        mailbox->entries[place] = *entry;
        pv_write_once(&mailbox->count, mailbox->count + 1);
        wake(mailbox);
    }
    pthread_mutex_unlock(&mailbox->lock);
    return put;
}

uint32_t netback_mailbox_take(struct netback_mailbox *mailbox, struct rx_entry *entries,
                              uint32_t most)
{
    if (pv_read_once(&mailbox->count) == 0)
        return 0;
    pthread_mutex_lock(&mailbox->lock);
    uint32_t taken = mailbox->count < most ? mailbox->count : most;
    for (uint32_t i = 0; i < taken; i++)
        entries[i] = mailbox->entries[(mailbox->first + i) % NETBACK_MAILBOX];
    mailbox->first = (mailbox->first + taken) % NETBACK_MAILBOX;
    pv_write_once(&mailbox->count, mailbox->count - taken);
    pthread_mutex_unlock(&mailbox->lock);
    return taken;
}

bool netback_mailbox_arm(struct netback_mailbox *mailbox)
{
    pthread_mutex_lock(&mailbox->lock);
    mailbox->armed = true;
    bool work = mailbox->count > 0;
    pthread_mutex_unlock(&mailbox->lock);
    return work;
}

void netback_mailbox_disarm(struct netback_mailbox *mailbox)
{
    eventfd_t count;
    pthread_mutex_lock(&mailbox->lock);
    mailbox->armed = false;
    if (mailbox->written)
        eventfd_read(mailbox->eventfd, &count);
    mailbox->written = false;
    pthread_mutex_unlock(&mailbox->lock);
}

void netback_mailbox_wake(struct netback_mailbox *mailbox)
{
    pthread_mutex_lock(&mailbox->lock);
    if (mailbox->entries)
        wake(mailbox);
    pthread_mutex_unlock(&mailbox->lock);
}
