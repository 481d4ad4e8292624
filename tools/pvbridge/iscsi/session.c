/* Sessions, and the commands that they have under way. */
#include "tools/pvbridge/iscsi/front_private.h"

#include <stdlib.h>
#include <string.h>

struct pv_iscsi_session *pv_iscsi_session_create(uint32_t cmd_sn)
{
    struct pv_iscsi_session *session = calloc(1, sizeof(*session));
    if (session) {
        session->expected = cmd_sn;
        session->holders = 1;
    }
    return session;
}

void pv_iscsi_session_release(struct pv_iscsi_session *session)
{
    if (--session->holders > 0)
        return;
    for (unsigned i = 0; i < PV_ISCSI_BUCKETS; i++) {
        for (struct pv_iscsi_task *task = session->tasks[i], *next; task; task = next) {
            next =
                task->next; /* only tags of Python's are left: any other task holds the session */
            free(task);
        }
    }
    free(session->luns);
    free(session);
}

bool pv_iscsi_set_luns(struct pv_iscsi_session *session, const struct pv_iscsi_lun *luns,
                       uint32_t count)
{
    session->luns = malloc((count + 1) * sizeof(*luns));
    if (!session->luns)
        return false;
    memcpy(session->luns, luns, count * sizeof(*luns));
    session->nr_luns = count;
    return true;
}

/* ---- Tags ---------------------------------------------------------------------------------- */

static struct pv_iscsi_task **bucket_of(const struct pv_iscsi_session *session, uint32_t tag)
{
    return (struct pv_iscsi_task **)&session->tasks[tag % PV_ISCSI_BUCKETS];
}

static struct pv_iscsi_task *find(const struct pv_iscsi_session *session, uint32_t tag)
{
    struct pv_iscsi_task *task = *bucket_of(session, tag);
    while (task && task->tag != tag)
        task = task->next;
    return task;
}

struct pv_iscsi_task *pv_iscsi_task_create(struct pv_iscsi_session *session, uint32_t tag,
                                           size_t length)
{
    struct pv_iscsi_task *task = malloc(sizeof(*task) + length);
    if (!task)
        return NULL;
    memset(task, 0, sizeof(*task));
    struct pv_iscsi_task **bucket = bucket_of(session, tag);
    task->session = session;
    task->tag = tag;
    task->holders = 1;
    task->next = *bucket;
    *bucket = task;
    return task;
}

static void unlist(struct pv_iscsi_task *task)
{
    struct pv_iscsi_task **link = bucket_of(task->session, task->tag);
    while (*link != task)
        link = &(*link)->next;
    *link = task->next;
}

bool pv_iscsi_has_tag(const struct pv_iscsi_session *session, uint32_t tag)
{
    return find(session, tag) != NULL;
}

bool pv_iscsi_take_tag(struct pv_iscsi_session *session, uint32_t tag)
{
    return pv_iscsi_task_create(session, tag, 0) != NULL;
}

void pv_iscsi_give_tag(struct pv_iscsi_session *session, uint32_t tag)
{
    struct pv_iscsi_task *task = find(session, tag);
    if (task && !task->connection) {
        unlist(task);
        free(task);
    }
}

/* ---- Commands that are carried out here ---------------------------------------------------- */

void pv_iscsi_tasks(const struct pv_iscsi_session *session, struct pv_iscsi_task **tasks)
{
    for (unsigned i = 0; i < PV_ISCSI_BUCKETS; i++) {
        for (struct pv_iscsi_task *task = session->tasks[i]; task; task = task->next) {
            if (task->connection) {
                task->holders++;
                *tasks++ = task;
            }
        }
    }
}

bool pv_iscsi_cancel(struct pv_iscsi_task *task)
{
    if (!task->connection)
        return false;
    unlist(task);
    task->session->nr_carried--;
    task->connection = NULL;
    return true;
}

void pv_iscsi_task_release(struct pv_iscsi_task *task)
{
    if (--task->holders > 0)
        return;
    pv_iscsi_session_release(task->session);
    free(task);
}
