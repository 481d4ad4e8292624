/* Commands that wait for a logical unit's creator: see unit.h. */
#include "pvdrivers/backends/targets/unit.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct pv_scsi_unit {
    struct pv_blk_store *store;
    int fd;
    uint32_t excluding;                   /* its creator waits for the last direct command */
    pthread_mutex_t lock;                 /* for the rest */
    struct pv_scsi_command *head, **tail; /* not taken yet */
    struct pv_scsi_nexus *nexuses;
};

struct pv_scsi_unit *pv_scsi_unit_create(struct pv_blk_store *store)
{
    struct pv_scsi_unit *unit = calloc(1, sizeof *unit);
    if (!unit)
        return NULL;
    unit->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (unit->fd < 0) {
        free(unit);
        return NULL;
    }
    unit->store = store;
    if (store)
        pv_fetch_add(&store->users, 1);
    unit->tail = &unit->head;
    pthread_mutex_init(&unit->lock, NULL);
    return unit;
}

int pv_scsi_unit_destroy(struct pv_scsi_unit *unit)
{
    if (unit->nexuses)
        return -EBUSY;
    if (unit->store)
        pv_fetch_sub(&unit->store->users, 1); /* a reader of 0 may free it */
    pthread_mutex_destroy(&unit->lock);
    close(unit->fd);
    free(unit);
    return 0;
}

int pv_scsi_unit_fd(const struct pv_scsi_unit *unit)
{
    return unit->fd;
}

void pv_scsi_unit_wake(struct pv_scsi_unit *unit)
{
    eventfd_write(unit->fd, 1);
}

/* ---- Nexuses ------------------------------------------------------------------------------- */

struct pv_scsi_nexus *pv_scsi_unit_attach(struct pv_scsi_unit *unit, uint32_t number)
{
    struct pv_scsi_nexus *nexus = calloc(1, sizeof *nexus);
    if (!nexus)
        return NULL;
    nexus->unit = unit;
    nexus->store = unit->store;
    nexus->number = number;
    pthread_mutex_lock(&unit->lock);
    nexus->next = unit->nexuses;
    unit->nexuses = nexus;
    pthread_mutex_unlock(&unit->lock);
    return nexus;
}

bool pv_scsi_nexus_is_used(const struct pv_scsi_nexus *nexus)
{
    /* Acquire: behind the last use by a queue. */
    return pv_load_acquire(&nexus->users) > 0;
}

int pv_scsi_nexus_detach(struct pv_scsi_nexus *nexus)
{
    struct pv_scsi_unit *unit = nexus->unit;
    if (pv_scsi_nexus_is_used(nexus))
        return -EBUSY;
    pthread_mutex_lock(&unit->lock);
    struct pv_scsi_nexus **at = &unit->nexuses;
    while (*at != nexus)
        at = &(*at)->next;
    *at = nexus->next;
    pthread_mutex_unlock(&unit->lock);
    free(nexus);
    return 0;
}

uint32_t pv_scsi_nexus_number(const struct pv_scsi_nexus *nexus)
{
    return nexus->number;
}

void pv_scsi_nexus_permit(struct pv_scsi_nexus *nexus, bool read, bool write)
{
    uint32_t permission = (read ? PV_SCSI_DIRECT_READ : 0) | (write ? PV_SCSI_DIRECT_WRITE : 0);
    pv_write_once(&nexus->unit->excluding, 0);
    /* Release: a direct command sees all that was done before it was permitted. */
    pv_store_release(&nexus->permission, nexus->store ? permission : 0);
}

bool pv_scsi_unit_exclude_direct(struct pv_scsi_unit *unit)
{
    uint32_t under_way = 0;
    pv_write_once(&unit->excluding, 1);
    pthread_mutex_lock(&unit->lock);
    for (struct pv_scsi_nexus *nexus = unit->nexuses; nexus; nexus = nexus->next)
        pv_write_once(&nexus->permission, 0);
    /* Full: the words are clear before the counts are read; see pv_scsi_direct_begin. And who
     * counts out behind this sees that somebody waits. */
    pv_mb();
    for (struct pv_scsi_nexus *nexus = unit->nexuses; nexus; nexus = nexus->next)
        /* Acquire: behind what the last command did. */
        under_way += pv_load_acquire(&nexus->under_way);
    pthread_mutex_unlock(&unit->lock);
    return under_way == 0;
}

void pv_scsi_unit_direct_ended(struct pv_scsi_unit *unit)
{
    /* Full: the command is counted out before this looks whether somebody waits, who does the
     * mirror image in pv_scsi_unit_exclude_direct. */
    pv_mb();
    if (pv_read_once(&unit->excluding))
        pv_scsi_unit_wake(unit);
}

/* ---- Commands ------------------------------------------------------------------------------ */

void pv_scsi_unit_submit(struct pv_scsi_command *command)
{
    struct pv_scsi_unit *unit = command->nexus->unit;
    command->next = NULL;
    pthread_mutex_lock(&unit->lock);
    if (!unit->head)
        pv_scsi_unit_wake(unit);
    *unit->tail = command;
    unit->tail = &command->next;
    pthread_mutex_unlock(&unit->lock);
}

void pv_scsi_unit_abort(struct pv_scsi_command *command)
{
    struct pv_scsi_unit *unit = command->nexus->unit;
    pv_write_once(&command->aborted, 1); /* no order: the write to the eventfd gives it */
    pv_scsi_unit_wake(unit);
}

unsigned pv_scsi_unit_take(struct pv_scsi_unit *unit, struct pv_scsi_command **commands,
                           unsigned max)
{
    unsigned count = 0;
    eventfd_t value;
    pthread_mutex_lock(&unit->lock);
    eventfd_read(unit->fd, &value);
    while (count < max && unit->head) {
        commands[count++] = unit->head;
        unit->head = unit->head->next;
    }
    if (unit->head)
        pv_scsi_unit_wake(unit);
    else
        unit->tail = &unit->head;
    pthread_mutex_unlock(&unit->lock);
    return count;
}

bool pv_scsi_command_is_aborted(const struct pv_scsi_command *command)
{
    return pv_read_once(&command->aborted);
}

static uint32_t smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

void pv_scsi_command_answer(struct pv_scsi_command *command, int32_t result, const uint8_t *data,
                            uint32_t data_size, const uint8_t *sense, uint32_t sense_size,
                            uint32_t unused)
{
    command->result = result;
    command->data_in = smaller(data_size, command->room);
    if (command->data_in)
        memcpy(command->data, data, command->data_in);
    command->residual =
        command->room ? command->room - command->data_in : smaller(unused, command->data_out);
    command->sense_length = (uint8_t)smaller(sense_size, PV_SCSI_MAX_SENSE);
    if (command->sense_length)
        memcpy(command->sense, sense, command->sense_length);
}

void pv_scsi_commands_complete(struct pv_scsi_command **commands, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        /* Looked at before: behind complete() a command belongs to its queue. */
        bool more = i + 1 < count && commands[i]->nexus == commands[i + 1]->nexus;
        commands[i]->complete(commands[i], more);
    }
}
