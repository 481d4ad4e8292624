/* A connection's socket, and what comes from it. PDUs are taken apart in memory of our own. */
#include "tools/pvbridge/iscsi/front_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define IN_ROOM (2u * PV_ISCSI_MAX_RECEIVED) /* more than a PDU with everything it may have */
#define BATCH 64u

struct pv_iscsi_connection *pv_iscsi_open(int fd)
{
    struct pv_iscsi_connection *connection = calloc(1, sizeof(*connection));
    if (!connection)
        return NULL;
    connection->in.bytes = malloc(IN_ROOM);
    if (!connection->in.bytes) {
        free(connection);
        return NULL;
    }
    connection->in.room = IN_ROOM;
    connection->fd = fd;
    connection->stat_sn = 1;
    return connection;
}

void pv_iscsi_enter(struct pv_iscsi_connection *connection, struct pv_iscsi_session *session)
{
    connection->session = session;
    session->holders++;
}

static void cancel_tasks(struct pv_iscsi_connection *connection)
{
    for (unsigned i = 0; i < PV_ISCSI_BUCKETS; i++) {
        for (struct pv_iscsi_task *task = connection->session->tasks[i], *next; task; task = next) {
            next = task->next;
            if (task->connection == connection)
                pv_iscsi_cancel(task);
        }
    }
}

void pv_iscsi_free(struct pv_iscsi_connection *connection)
{
    if (connection->session) {
        cancel_tasks(connection);
        pv_iscsi_session_release(connection->session);
    }
    free(connection->in.bytes);
    free(connection->out.bytes);
    free(connection);
}

/* ---- What comes ---------------------------------------------------------------------------- */

void pv_iscsi_receive(struct pv_iscsi_connection *connection)
{
    struct pv_iscsi_buffer *in = &connection->in;
    memmove(in->bytes, in->bytes + in->start, in->end - in->start);
    in->end -= in->start;
    in->start = 0;
    ssize_t count = recv(connection->fd, in->bytes + in->end, in->room - in->end, MSG_DONTWAIT);
    if (count > 0)
        in->end += (size_t)count;
    else if (count == 0)
        connection->ended = true;
    else if (errno != EAGAIN && errno != EINTR)
        connection->error = errno;
}

/* The next PDU, if it is here as a whole. What a header is extended by is left out: no command here
 * needs it. */
static enum pv_iscsi_taken next_pdu(struct pv_iscsi_connection *connection,
                                    struct pv_iscsi_pdu *pdu)
{
    struct pv_iscsi_buffer *in = &connection->in;
    size_t here = in->end - in->start;
    if (here < PV_ISCSI_HEADER)
        return PV_ISCSI_NOTHING;
    pdu->header = in->bytes + in->start;
    size_t before = PV_ISCSI_HEADER + 4u * pdu->header[4];
    pdu->length = get_be32(pdu->header + 4) & 0xFFFFFF;
    if (pdu->length > connection->max_received)
        return PV_ISCSI_TOO_LONG;
    size_t whole = before + pdu->length + -pdu->length % 4;
    if (here < whole)
        return PV_ISCSI_NOTHING;
    pdu->data = pdu->header + before;
    in->start += whole;
    return PV_ISCSI_PDU;
}

/* ---- Commands for the ring ----------------------------------------------------------------- */

struct batch {
    struct pv_scsifront_queue *queue;
    struct pv_scsifront_command *commands[BATCH];
    unsigned count;
};

/* They are published together. A ring that takes none any more is asked for again. */
static void submit(struct pv_iscsi_connection *connection, struct batch *batch)
{
    if (batch->count == 0)
        return;
    connection->carried += batch->count;
    if (pv_scsifront_submit(batch->queue, batch->commands, batch->count) < 0)
        for (unsigned i = 0; i < batch->count; i++)
            pv_iscsi_turn_away(batch->commands[i]->user);
    batch->count = 0;
}

enum pv_iscsi_taken pv_iscsi_take(struct pv_iscsi_connection *connection,
                                  struct pv_scsifront_queue *queue, struct pv_iscsi_pdu *pdu)
{
    struct batch batch = {.queue = queue};
    enum pv_iscsi_taken taken = PV_ISCSI_ENDED;
    while (!connection->error && (taken = next_pdu(connection, pdu)) == PV_ISCSI_PDU) {
        struct pv_iscsi_task *task = queue ? pv_iscsi_task_of(connection, queue, pdu) : NULL;
        if (!task)
            break;
        batch.commands[batch.count++] = &task->command;
        if (batch.count == BATCH)
            submit(connection, &batch);
    }
    submit(connection, &batch);
    return taken == PV_ISCSI_NOTHING && connection->ended ? PV_ISCSI_ENDED : taken;
}
